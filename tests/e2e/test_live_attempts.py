"""Attempts from inside a namespace: what comes back, and from where they start."""

from __future__ import annotations

import pytest

from tests.support.host import Host

pytestmark = pytest.mark.kernel


def ask(host: Host, source: str, target: str, proto: str, port: int | None) -> tuple[str, object]:
    answer = host.call(
        "net.policy.test", to=target, proto=proto, port=port, live=True, **{"from": source}
    )
    return answer["live"]["outcome"].partition(":")[0], answer["live"]["agrees"]


def test_attempts(pair: Host) -> None:
    """Served and unserved ports of both protocols, ping, from a workload and from the host."""
    for source in ("web", "host"):
        assert ask(pair, source, "db", "tcp", 80) == ("the target answered", True)
        assert ask(pair, source, "db", "udp", 80) == ("the target answered", True)
        assert ask(pair, source, "db", "icmp", None) == ("the target answered", True)
        assert ask(pair, source, "db", "tcp", 81) == ("refused at once", True)
        assert ask(pair, source, "db", "udp", 81) == ("refused at once", True)
    assert ask(pair, "web", "192.0.2.1", "tcp", 80) == ("no answer", True)
    assert ask(pair, "web", "host", "icmp", None) == ("the target answered", True)


def test_a_kernel_that_disagrees_is_found_out(pair: Host) -> None:
    """Somebody else's table drops what volt allows: allowed says the model, no says the kernel."""
    foreign = "table ip foreign { chain f { type filter hook forward priority 0; policy drop; }; }"
    pair.run("nft", foreign)
    assert ask(pair, "web", "db", "tcp", 80) == ("no answer", False)
