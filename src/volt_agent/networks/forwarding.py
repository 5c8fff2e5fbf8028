"""net.ipv4.ip_forward: on for as long as volt is here, then as it was before."""

from __future__ import annotations

from ..model.host import FormerSetting
from ..model.snapshot import Change, Snapshot

FORWARDING = "net.ipv4.ip_forward"


def remember_former(snapshot: Snapshot, present: str, boot: str) -> Change:
    """What the store has to know before forwarding is switched on, whose value is `present`.

    What was remembered in an earlier boot says nothing: who has it on since did that himself.
    """
    kept = snapshot.former_settings.get(FORWARDING)
    if kept is not None and kept.boot == boot:
        return Change()
    if present != "1":
        return Change(put=(FormerSetting(name=FORWARDING, value=present, boot=boot),))
    return Change(delete=(kept,)) if kept is not None else Change()
