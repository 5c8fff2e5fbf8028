"""What is remembered of net.ipv4.ip_forward."""

from __future__ import annotations

import pytest

from volt_agent.model.host import FormerSetting
from volt_agent.model.snapshot import Change, Snapshot
from volt_agent.networks.forwarding import FORWARDING, remember_former

NOTHING = None
OURS = FormerSetting(FORWARDING, "0", "this")
OLD = FormerSetting(FORWARDING, "0", "earlier")


@pytest.mark.parametrize(
    ("kept", "present", "after"),
    [
        (NOTHING, "0", OURS),  # the first start
        (NOTHING, "1", NOTHING),  # the host has it on by itself
        (OURS, "1", OURS),  # a restart of the agent
        (OURS, "0", OURS),  # somebody switched it off meanwhile
        (OLD, "0", OURS),  # the first start after a boot
        (OLD, "1", NOTHING),  # the host was set up to have it on since
    ],
)
def test_the_value_before_volt_is_remembered(
    kept: FormerSetting | None, present: str, after: FormerSetting | None
) -> None:
    """That of this boot, unless the host has forwarding on by itself."""
    snapshot = Snapshot().apply(Change(put=(kept,) if kept else ()))
    snapshot = snapshot.apply(remember_former(snapshot, present, "this"))
    assert snapshot.former_settings.get(FORWARDING) == after
