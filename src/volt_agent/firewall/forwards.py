"""From a port forward to its elements: what is behind each port of the host."""

from __future__ import annotations

from collections.abc import Iterator

from ..model.firewall import Forward
from .quote import PROTOCOL_NUMBERS
from .ruleset import Element
from .spelling import Spelling


def forward_elements(forward: Forward, spelling: Spelling) -> Iterator[Element]:
    """Nothing while the target is on no network.

    A stopped target keeps its forwards: they follow from what is wanted, as everything here, so
    that a restart of the agent, which for a moment knows of nobody who runs, closes no port.
    """
    addresses = spelling.addresses[forward.target]
    if not addresses:
        return
    address = addresses[0]
    # From any of its addresses: a packet with a source of its own is none that it would take.
    for each in addresses:
        yield Element("to-itself", f"{each} . {address}")
    offset = forward.target_port - forward.ports.first
    where = "forwards" if forward.host_ip is None else "address-forwards"
    prefix = "" if forward.host_ip is None else f"{forward.host_ip} . "
    number = PROTOCOL_NUMBERS[forward.protocol]
    for port in range(forward.ports.first, forward.ports.last + 1):
        yield Element(where, f"{prefix}{number} . {port} : {address} . {port + offset}")
