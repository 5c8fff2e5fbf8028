"""net.port.*"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ...bus import Bus
from ...events import ForwardAdded, ForwardDeleted
from ...kernel.host import listening_ports
from ...model.firewall import Forward
from ...model.route import IngressPorts
from ...model.snapshot import Snapshot
from ...registry import Registry
from ...rules.forward import (
    add_forward,
    delete_forward,
    parse_forward,
    show_forward,
    status_of,
    target_ports,
)
from ..messages import port as messages
from ..method import Nothing
from . import Cut, Handlers


class PortHandlers:
    """`ingress` tells which ports the ingress has or would have."""

    def __init__(
        self, registry: Registry, bus: Bus, cut: Cut, ingress: Callable[[], IngressPorts]
    ) -> None:
        self._registry, self._bus, self._cut = registry, bus, cut
        self._ingress = ingress

    def handlers(self) -> Handlers:
        return {
            "net.port.add": self.add,
            "net.port.delete": self.delete,
            "net.port.list": self.list,
        }

    async def add(self, params: messages.AddForward) -> messages.AddedForward:
        asked = (
            str(params.host_port),
            params.target,
            str(params.target_port),
            params.proto,
            params.host_ip,
        )
        forward = parse_forward(self._registry.snapshot, *asked)  # before the slow look around
        listeners = await asyncio.to_thread(listening_ports, loopback=True)
        commit = await self._registry.commit(
            lambda snapshot: add_forward(snapshot, *asked, listeners, self._ingress())
        )
        await self._cut()
        changed = not commit.change.is_empty
        if changed:
            self._bus.publish(ForwardAdded(forward=show_forward(forward)))
        view = forward_view(commit.new.forwards[forward.key], commit.new)
        return messages.AddedForward(changed=changed, **_fields(view))

    async def delete(self, params: messages.DeleteForward) -> messages.Forward:
        commit = await self._registry.commit(
            lambda snapshot: delete_forward(
                snapshot, str(params.host_port), params.proto, params.host_ip
            )
        )
        await self._cut()
        (gone,) = commit.change.delete
        assert isinstance(gone, Forward)
        self._bus.publish(ForwardDeleted(forward=show_forward(gone)))
        return forward_view(gone, commit.new)

    async def list(self, params: Nothing) -> list[messages.Forward]:
        snapshot = self._registry.snapshot
        return [forward_view(each, snapshot) for each in in_port_order(snapshot)]


def in_port_order(snapshot: Snapshot) -> list[Forward]:
    return sorted(
        snapshot.forwards.values(),
        key=lambda each: (each.ports, each.protocol, int(each.host_ip or 0)),
    )


def forward_view(forward: Forward, snapshot: Snapshot) -> messages.Forward:
    return messages.Forward(
        host_port=str(forward.ports),
        target=forward.target,
        target_port=str(target_ports(forward)),
        proto=forward.protocol,
        status=status_of(snapshot, forward),
        host_ip=str(forward.host_ip) if forward.host_ip else None,
    )


def _fields(view: messages.Forward) -> dict[str, Any]:
    return {name: getattr(view, name) for name in messages.Forward.__struct_fields__}
