"""Ports as users write them."""

from __future__ import annotations

import pytest

from volt_agent.errors import Invalid
from volt_agent.model.ports import parse_ports, parse_range, show_ports


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("80", "80"),
        ("443,80", "80,443"),
        ("80, 443", "80,443"),
        ("8000-8010", "8000-8010"),
        ("80,79-81,82", "79-82"),
        ("1-65535", "1-65535"),
    ],
)
def test_ports_are_sorted_and_merged(text: str, means: str) -> None:
    """One form for what means the same."""
    assert show_ports(parse_ports(text)) == means


@pytest.mark.parametrize(
    "text",
    ["", "0", "65536", "80,", ",80", "80,,81", "-1", "80-", "1-2-3", "http", "1e3", "٣", "9" * 999],
)
def test_what_is_no_port_is_shown_as_it_was_written(text: str) -> None:
    """The whole of it: `'' is not a port` would help nobody who wrote `80,`."""
    with pytest.raises(Invalid, match="not a port") as caught:
        parse_ports(text)
    assert repr(text)[:20].rstrip("'") in caught.value.message
    assert len(caught.value.message) < 100


def test_a_reversed_range_is_shown_the_right_way_round() -> None:
    """The hint can be copied."""
    with pytest.raises(Invalid) as caught:
        parse_ports("80,90-85")
    assert caught.value.hint == "write 85-90"


def test_where_one_port_goes_no_hint_proposes_a_list() -> None:
    """A forward takes one port or one range."""
    with pytest.raises(Invalid) as caught:
        parse_range("80,443")
    assert "80,443" not in (caught.value.hint or "")
