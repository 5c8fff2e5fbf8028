"""Which links keep an agent from starting."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.networks.build import backend, mirror_of
from volt_agent.errors import Refused
from volt_agent.kernel.state import Link
from volt_agent.model.snapshot import Snapshot
from volt_agent.networks.former import check_links_known

BRIDGE = Link(index=9, name="volt-backend", kind="bridge", up=True, alias="volt:backend")
WEB = Link(3, "vc-web", "veth", up=True, carrier=True, master=9, alias="volt:backend/web")
OTHERS = Link(4, "vb-guest", "veth", up=True, carrier=True, master=9)


@pytest.mark.parametrize(
    ("link", "named"), [(WEB, "backend/web"), (OTHERS, "backend/guest")], ids=["made", "foreign"]
)
def test_a_running_workload_that_the_state_never_saw(link: Link, named: str) -> None:
    """It is named, with the state directory; nothing that stopped counts."""
    with pytest.raises(Refused, match=f"/state knows nothing of {named}, which"):
        check_links_known(Snapshot(), mirror_of(BRIDGE, link), "/state")
    check_links_known(Snapshot(), mirror_of(BRIDGE, replace(link, carrier=False)), "/state")
    check_links_known(backend("web"), mirror_of(BRIDGE, link), "/state")


def test_what_a_crash_left_is_no_foreign_state() -> None:
    """A bridge without workloads, an uplink, the link of a workload that was disconnected."""
    uplink = Link(4, "eth1", "", up=True, carrier=True, master=9)
    check_links_known(Snapshot(), mirror_of(BRIDGE, uplink), "/state")
    known = backend("web")
    links = replace(WEB, alias="volt:other/web")
    check_links_known(known, mirror_of(links), "/state")


def test_many_are_counted() -> None:
    """The line stays a line."""
    links = [
        replace(WEB, index=number, name=f"vc-{number}", alias=f"volt:backend/w{number}")
        for number in range(10, 30)
    ]
    with pytest.raises(Refused, match="and 15 more"):
        check_links_known(Snapshot(), mirror_of(*links), "/state")
