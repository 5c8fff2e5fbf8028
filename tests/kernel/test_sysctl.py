"""Settings: which keys there are, and none that lead out of net."""

from __future__ import annotations

import errno
import os
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volt_agent.kernel import sysctl


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
        ("net/ipv4/ip_forward", "net/ipv4/ip_forward"),
        ("net.ipv4.conf.eth0/5.rp_filter", "net/ipv4/conf/eth0.5/rp_filter"),
        ("net/ipv4/conf/eth0.5/rp_filter", "net/ipv4/conf/eth0.5/rp_filter"),
        ("net.core.somaxconn", "net/core/somaxconn"),
    ],
)
def test_dots_and_slashes_name_one_file(key: str, path: str) -> None:
    """sysctl.d(5): the separator that comes first separates."""
    assert sysctl.key_path(key) == path


@pytest.mark.parametrize(
    "key",
    [
        "",
        "net",
        "net.",
        "net..core",
        "kernel.core_pattern",
        "net/../kernel/core_pattern",
        "net.//.kernel",
        "/net/core/somaxconn",
        "net/core/somaxconn/",
        "net/./core",
        "net/core/some max",
        "net/core/so\0max",
        "net." + "x" * 300,
    ],
)
def test_other_keys_are_refused(key: str) -> None:
    """EINVAL, with a word on why."""
    with pytest.raises(OSError, match=r"keys begin with net\.|malformed key") as refusal:
        sysctl.key_path(key)
    assert refusal.value.errno == errno.EINVAL


@given(st.text(alphabet="net./ \0ab-", max_size=30).map(lambda text: "net" + text))
def test_no_key_leads_out_of_net(key: str) -> None:
    """Whatever is accepted is below /proc/sys/net when the path is walked part by part."""
    try:
        path = sysctl.key_path(key)
    except OSError:
        return
    parts = PurePosixPath(path).parts
    assert parts[0] == "net"
    assert len(parts) > 1
    assert ".." not in parts


@pytest.mark.parametrize("value", ["a\nb", "\0", "é", "x" * 2000])
def test_values_are_one_printable_line(value: str) -> None:
    """EINVAL for others."""
    with pytest.raises(OSError, match="malformed value"):
        sysctl.check_value(value)


def test_what_is_no_key_has_no_value() -> None:
    """A key below a file, or one that is not there."""
    assert sysctl.read("net.ipv4.ip_forward.below") is None
    assert sysctl.read("net.ipv4.nothing") is None
    assert sysctl.read("net.ipv4.ip_forward") in ("0", "1")


def test_patterns_match_whole_keys_and_words_parts() -> None:
    """With dots or slashes; the result has dots."""
    assert [*sysctl.matching("net.core.somax*")] == ["net.core.somaxconn"]
    assert [*sysctl.matching("net/core/somax*")] == ["net.core.somaxconn"]
    assert [*sysctl.matching("core.somaxc")] == ["net.core.somaxconn"]
    assert [*sysctl.matching("core.somax?")] == []


def test_keys_that_cannot_be_printed_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interface may be called anything: it keeps nobody from seeing the others."""
    for name in (b"eth0", b"\xff\xfe", b"a\x1b[2J"):
        folder = os.fsencode(tmp_path / "net/ipv4/conf") + b"/" + name
        os.makedirs(folder)
        Path(os.fsdecode(folder), "rp_filter").touch()
    monkeypatch.setattr(sysctl, "ROOT", tmp_path)
    assert [*sysctl.matching("rp_filter")] == ["net.ipv4.conf.eth0.rp_filter"]
