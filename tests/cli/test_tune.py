"""`volt tune`: sizes as users write them, and the table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volt_agent.cli import tune
from volt_agent.cli.output import table
from volt_agent.control.messages.tune import Setting
from volt_agent.errors import Invalid

SETTINGS = [
    Setting("net.core.rmem_max", "16777216", former="212992", kept="16777216"),
    Setting("net.core.somaxconn", "512", former="4096"),
    Setting("net.netfilter.nf_conntrack_max", None),
]


def test_the_table() -> None:
    """What is not here has no value; what lasts until the next boot is kept by none."""
    assert table(SETTINGS, tune.COLUMNS) == (
        "KEY                             VALUE     BEFORE  EVERY-BOOT\n"
        "net.core.rmem_max               16777216  212992  16777216\n"
        "net.core.somaxconn              512       4096    -\n"
        "net.netfilter.nf_conntrack_max  -         -       -\n"
    )


@pytest.mark.parametrize(
    ("text", "size"), [("4096", 4096), ("512K", 524288), ("16M", 16777216), ("1g", 1073741824)]
)
def test_sizes(text: str, size: int) -> None:
    """Powers of 1024."""
    assert tune.size_of("--rmem-max", text) == size


@pytest.mark.parametrize("text", ["", "16Q", "-1", "1.5M", "M", "16 M", "0x10", "1_0", "\u0661"])
def test_other_sizes(text: str) -> None:
    """Refused with the option's name."""
    with pytest.raises(Invalid, match="--rmem-max"):
        tune.size_of("--rmem-max", text)


@given(st.text(max_size=10))
def test_whatever_is_typed_is_a_size_or_invalid(text: str) -> None:
    """Nothing else comes out, however odd."""
    try:
        size = tune.size_of("--rmem-max", text)
    except Invalid:
        return
    assert size is not None
    assert size >= 0
