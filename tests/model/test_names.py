"""Names that users give, and the interface names made from them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from volt_agent.model.names import (
    INTERFACE_NAME_MAX,
    bridge_interface,
    check_name,
    label_from,
    port_interface,
    stable_mac,
)

labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)


@given(st.text(max_size=80))
def test_every_foreign_name_maps_to_a_label(foreign: str) -> None:
    """Whatever a runtime calls its machine, volt has a valid name for it."""
    label = label_from(foreign)
    assert check_name("workload", label) == label


@given(labels)
def test_a_label_maps_to_itself(name: str) -> None:
    """A machine whose name is a label already keeps it."""
    assert label_from(name) == name


def test_the_stated_rule() -> None:
    """Lower case, other characters to hyphens, cut to 63."""
    assert label_from("Web.Front") == "web-front"
    assert label_from("web_1") == "web-1"
    assert label_from("--x--") == "x"
    assert label_from("a" * 64) == "a" * 63
    assert label_from("___").startswith("x-")


@given(labels, labels, st.booleans())
def test_interface_names_fit_and_are_stable(network: str, workload: str, first: bool) -> None:
    """At most 15 characters, always the same for the same connection."""
    for prefix in ("vc-", "vt-"):
        name = port_interface(prefix, network, workload, first)
        assert len(name) <= INTERFACE_NAME_MAX
        assert name.startswith(prefix)
        assert name == port_interface(prefix, network, workload, first)
    assert len(bridge_interface(network)) <= INTERFACE_NAME_MAX


def test_short_names_stay_readable() -> None:
    """What fits is not hashed."""
    assert port_interface("vc-", "backend", "api-server", first=True) == "vc-api-server"
    assert bridge_interface("backend") == "volt-backend"
    assert port_interface("vc-", "front", "api-server", first=False) != "vc-api-server"


@given(st.lists(labels, min_size=1, max_size=2))
def test_macs_are_local_unicast(parts: list[str]) -> None:
    """The 02 bit is set, the group bit is not (IEEE 802)."""
    assert stable_mac(*parts).startswith("02:")
