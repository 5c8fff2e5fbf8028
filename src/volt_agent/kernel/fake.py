"""The fake edge: same protocol, same refusals, no kernel. For tests of what stands above."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from ..bus import Bus
from ..events import InsideChanged, LinksChanged, SysctlChanged
from . import sysctl
from .conntrack import Tracked, matches
from .edge import Flow
from .fake_kernel import FakeKernel
from .fake_space import FakeSpace
from .looking import name_routes
from .ops import Op, SetSysctl
from .refusals import refused, translate
from .state import Inside, Link, Mirror, Route


class FakeEdge:
    """Implements `edge.Edge`. What a test does to the world, by other hands than volt's, is below
    "the world": each of these publishes what the kernel would announce."""

    def __init__(self, bus: Bus) -> None:
        self.mirror = Mirror()
        self.kernel = FakeKernel()
        self.flows: list[Tracked] = []  # the conntrack table
        self.learned: dict[tuple[str, str], int] = {}  # (bridge, MAC) -> ifindex of a port
        self.carried_out: list[Op] = []  # by `execute`, in order, without those refused
        self._bus = bus
        self._refusals: dict[type[Op], int] = {}

    def __repr__(self) -> str:
        return f"<FakeEdge [{len(self.mirror.links)} links]>"

    async def start(self) -> None:
        self._announce()

    async def close(self) -> None:
        pass

    async def execute(self, ops: Sequence[Op]) -> None:
        await self.finish(self.begin(ops))

    def begin(self, ops: Sequence[Op]) -> asyncio.Future[None]:
        return asyncio.get_running_loop().create_task(self._carry_out_all(ops))

    async def finish(self, begun: asyncio.Future[None]) -> None:
        await begun

    async def _carry_out_all(self, ops: Sequence[Op]) -> None:
        await asyncio.sleep(0)
        try:
            for op in ops:
                self._carry_out(op)
                self.carried_out.append(op)
        finally:
            self._announce()

    async def settle(self) -> None:
        await asyncio.sleep(0)

    async def look_again(self, links: Sequence[str]) -> None:
        await asyncio.sleep(0)

    async def inside(self, namespace: str) -> Inside:
        await asyncio.sleep(0)
        try:
            space = self.kernel.space(namespace)
        except OSError as error:
            raise translate(f"cannot look into {namespace}", error) from error
        return Inside(
            links={link.name: link for link in space.links.values()},
            addresses={
                space.links[index].name: frozenset(group)
                for index, group in space.addresses.items()
                if group
            },
            routes=name_routes(list(space.routes()), space.links),
        )

    async def routes(self) -> tuple[Route, ...]:
        await asyncio.sleep(0)
        return name_routes(list(self.kernel.own.routes()), self.kernel.own.links)

    async def port_behind(self, bridge: str, mac: str) -> int:
        await asyncio.sleep(0)
        return self.learned.get((bridge, mac), 0)

    async def read_sysctl(self, key: str) -> str | None:
        await asyncio.sleep(0)
        try:
            return self.kernel.own.settings.get(sysctl.key_path(key))
        except OSError as error:
            raise translate(f"cannot read {key}", error) from error

    async def forget_flows(
        self, flows: Sequence[Flow], spare: Callable[[Tracked], bool] | None = None
    ) -> int:
        await asyncio.sleep(0)
        kept = [
            each
            for each in self.flows
            if not any(matches(flow, each) for flow in flows) or (spare is not None and spare(each))
        ]
        gone = len(self.flows) - len(kept)
        self.flows = kept
        return gone

    # ---- the world --------------------------------------------------------------------------

    def add_namespace(self, path: str) -> None:
        """A namespace with a loopback interface that is down."""
        self.kernel.add_namespace(path)

    def remove_namespace(self, path: str) -> None:
        """The host's ends of its veths go with it."""
        self.kernel.remove_namespace(path)
        self._announce()

    def by_hand(self, *ops: Op) -> None:
        """Carry out `ops` as somebody else would. Raises KernelRefused."""
        try:
            for op in ops:
                self._carry_out(op)
        finally:
            self._announce()

    def plug(
        self, name: str, master: str, altname: str | None = None, carrier: bool = True
    ) -> None:
        """Somebody else's port, up, on the bridge `master`."""
        own = self.kernel.own
        mac = f"06:00:00:00:{len(own.links) >> 8:02x}:{len(own.links) & 255:02x}"
        link = own.add(Link(index=0, name=name, kind="tun", mac=mac))
        altnames = (altname,) if altname else ()
        own.put(replace(link, up=True, altnames=altnames, master=own.find(master).index))
        self.set_carrier(name, carrier)

    def set_carrier(self, name: str, carrier: bool) -> None:
        """A virtual machine opens the tap `name`, or closes it."""
        own = self.kernel.own
        index = own.find(name).index
        (own.attached.add if carrier else own.attached.discard)(index)
        own.update_carrier(index)
        self._announce()

    def refuse(self, kind: type[Op], errno: int) -> None:
        """Let the next operation of this kind fail."""
        self._refusals[kind] = errno

    # -------------------------------------------------------------------------------------------

    def _carry_out(self, op: Op) -> None:
        try:
            number = self._refusals.pop(type(op), 0)
            if number:
                raise OSError(number, "")
            self.kernel.carry_out(op)
        except OSError as error:
            raise refused(op, error) from error
        if isinstance(op, SetSysctl) and op.namespace is None:
            self._announce_setting(sysctl.key_path(op.key))

    def _announce_setting(self, key: str) -> None:
        # As devinet.c does: ip_forward is announced as that of all links, other keys by their link.
        parts = key.split("/")
        if key == "net/ipv4/ip_forward":
            self._bus.publish(SysctlChanged(interface="all"))
        elif parts[1:3] == ["ipv4", "conf"]:
            self._bus.publish(SysctlChanged(interface=parts[3]))

    def _announce(self) -> None:
        names = self._update_mirror(self.kernel.own)
        if names:
            self._bus.publish(LinksChanged(names=frozenset(names)))
        for nsid, space in self.kernel.namespace_ids().items():
            if space.changed:
                space.changed.clear()
                for link in list(self.mirror.links.values()):
                    if link.nsid == nsid:
                        self._bus.publish(InsideChanged(interface=link.name))

    def _update_mirror(self, own: FakeSpace) -> set[str]:
        names = set()
        for index in own.changed:
            link = own.links.get(index) or self.mirror.drop_link(index)
            if link is None:
                continue
            names.add(link.name)
            if index in own.links:
                self.mirror.put_link(link)
                self.mirror.addresses[index] = frozenset(own.addresses.get(index, ()))
        own.changed.clear()
        return names
