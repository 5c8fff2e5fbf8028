"""pyroute2, imported at its first use: that takes 0.2 s, which a start that finds all right saves.

One thread at a time: two that import parts of one package at once may find themselves in a deadlock
of import locks, which Python ends with an error in one of them.
"""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

_lock = threading.Lock()


class Codec(NamedTuple):
    """The message classes that volt encodes with."""

    link: Any
    connection: Any
    connection_ends: Any


def codec() -> Codec:
    """Import what is needed and return it; blocks for 0.2 s the first time."""
    with _lock:
        from pyroute2.netlink.nfnetlink.nfctsocket import NFCTAttrTuple, nfct_msg
        from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

    return Codec(link=ifinfmsg, connection=nfct_msg, connection_ends=NFCTAttrTuple)
