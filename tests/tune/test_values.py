"""What the kernel makes of a value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volt_agent.errors import Invalid, VoltError
from volt_agent.tune.sysctl_file import content
from volt_agent.tune.values import canonical, check_taken, check_wanted


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("5", "5"),
        ("0x10", "16"),
        ("010", "8"),
        ("1 2 3", "1 2 3"),
        ("1,2,3", "1-3"),
        ("bbr", "bbr"),
    ],
)
def test_taken(asked: str, shown: str) -> None:
    """Numbers in other writing are the same; words are the kernel's own affair."""
    check_taken("net.x", asked, shown)


@pytest.mark.parametrize(("asked", "shown"), [("1 abc", "1"), ("5", "5 6 7"), ("1 2", "1")])
def test_partly_taken(asked: str, shown: str) -> None:
    """The kernel is silent about the rest; volt is not."""
    with pytest.raises(Invalid):
        check_taken("net.x", asked, shown)


@given(st.text(max_size=40), st.text(max_size=40))
def test_whatever_is_accepted_is_one_line(key: str, value: str) -> None:
    """Nobody writes a second setting into the file through the first."""
    try:
        name = canonical("net." + key)
        text = content({name: check_wanted(name, value)})
    except VoltError:
        return
    assert len(text.splitlines()) == 2
    assert text.splitlines()[1].count(" = ") >= 1


def test_the_file_is_sorted() -> None:
    """So that two hosts with the same settings have the same file."""
    text = content({"net.b": "2", "net.a": "1 2"})
    assert text.splitlines()[1:] == ["net.a = 1 2", "net.b = 2"]
    assert content({}) == ""
