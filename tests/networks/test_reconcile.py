"""The reconciler on the fake kernel: from commits and foreign hands to links that are right."""

from __future__ import annotations

import asyncio
import errno
import itertools
import time
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest

from tests.networks.build import AROUND
from volt_agent.bus import Bus
from volt_agent.errors import KernelRefused
from volt_agent.events import Degraded, Event, InstanceStarted, Repaired, WorkloadStarted
from volt_agent.kernel.conntrack import Tracked
from volt_agent.kernel.fake import FakeEdge
from volt_agent.kernel.ops import (
    AddVeth,
    DeleteAddress,
    DeleteLink,
    DeleteRoute,
    Op,
    SetLink,
    SetSysctl,
)
from volt_agent.kernel.state import Link
from volt_agent.model.network import Network
from volt_agent.model.snapshot import Change, Snapshot
from volt_agent.model.workload import Instance
from volt_agent.networks.agenda import Rank, Target
from volt_agent.networks.decide import connect, create_network, delete_network, disconnect
from volt_agent.networks.forwarding import FORWARDING
from volt_agent.networks.lifecycle import started, stopped
from volt_agent.networks.patience import BURST, REFILL, Patience
from volt_agent.networks.plan import ANYWHERE
from volt_agent.networks.reconcile import Reconciler
from volt_agent.networks.resolvconf import MARK, ResolvConf
from volt_agent.registry import Registry
from volt_agent.store import MemoryStore

WEB = "/run/netns/web"


class Site:
    """A host with network backend, reconciled on a fake kernel."""

    def __init__(self, tmp: Path) -> None:
        self.bus, self.events = Bus(), list[Event]()
        for kind in (Repaired, Degraded, WorkloadStarted):
            self.bus.subscribe(kind, self.events.append)
        self.edge = FakeEdge(self.bus)
        self.registry = Registry(MemoryStore())
        self.opened: list[tuple[str, int]] = []
        self.etc = tmp
        self.reconciler = Reconciler(
            self.registry, self.edge, self.bus, ResolvConf(tmp), self._on_bridge
        )
        self.registry.add_follower(None, self.reconciler)
        self._lives = itertools.count(1)
        self.work: asyncio.Task[None] | None = None

    def _on_bridge(self, network: Network, ifindex: int) -> None:
        self.opened.append((network.name, ifindex))

    async def commit(self, decide: Callable[[Snapshot], Change]) -> None:
        await self.registry.commit(decide)

    async def settle(self) -> None:
        async with asyncio.timeout(60):
            await self.reconciler.settled_all()

    async def connect(self, name: str, kind: str = "container") -> None:
        await self.commit(lambda s: connect(s, "backend", name, kind=kind))  # type: ignore[arg-type]
        await self.settle()

    async def start(self, name: str) -> Instance:
        path = f"/run/netns/{name}"
        self.edge.add_namespace(path)
        identity = str(next(self._lives))
        instance = Instance(name, "container", "netns", identity, path)
        self.bus.publish(InstanceStarted(instance=instance, at=time.monotonic()))
        self.reconciler.ports.effects.begin(instance, time.monotonic())
        await self.commit(lambda s: started(s, instance))
        await self.settle()
        return instance

    async def stop(self, instance: Instance) -> None:
        self.edge.remove_namespace(instance.namespace or "")
        await self.commit(lambda s: stopped(s, instance))
        await self.settle()

    def repaired(self) -> list[str]:
        return [each.what for each in self.events if isinstance(each, Repaired)]


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for something that a timer or a task in the background brings about."""
    async with asyncio.timeout(60):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def on_site(tmp: Path, scenario: Callable[[Site], Awaitable[None]]) -> None:
    """Run `scenario` on a fresh site with the reconciler working."""

    async def run() -> None:
        site = Site(tmp)
        await site.edge.start()
        await site.registry.open()
        site.reconciler.mark_all()
        site.work = work = asyncio.create_task(site.reconciler.run())
        await site.commit(lambda s: create_network(s, AROUND, "backend", "10.30.0.0/24"))
        await site.settle()
        await scenario(site)
        work.cancel()

    asyncio.run(run())


def test_a_network_gets_its_bridge(tmp_path: Path) -> None:
    """Up, with the gateway's address; and whoever waits for bridges learns its index."""

    async def scenario(site: Site) -> None:
        link = site.edge.mirror.links["volt-backend"]
        assert link.up
        assert site.edge.mirror.addresses_of("volt-backend") == {IPv4Interface("10.30.0.1/24")}
        assert site.opened[-1] == ("backend", link.index)

    on_site(tmp_path, scenario)


def test_a_container_is_attached_when_it_starts_and_detached_when_it_stops(tmp_path: Path) -> None:
    """Port up with its address, resolv.conf in place; afterwards nothing is left of either."""

    async def scenario(site: Site) -> None:
        await site.connect("web")
        assert "vc-web" not in site.edge.mirror.links
        instance = await site.start("web")
        port = site.registry.snapshot.ports["backend/web"]
        assert (port.up, str(port.address), port.inside) == (True, "10.30.0.2", "eth0")
        text = (site.etc / "web" / "resolv.conf").read_text()
        assert text.startswith(MARK)
        assert "nameserver 10.30.0.1\n" in text
        (event,) = site.events
        assert isinstance(event, WorkloadStarted)
        assert event.networks == {"backend": "10.30.0.2"}
        assert "link" in event.planes_ms
        bridge = site.edge.mirror.links["volt-backend"].index
        assert site.edge.kernel.own.neighbours == {(bridge, port.address): port.mac}
        await site.stop(instance)
        assert not site.registry.snapshot.ports
        assert "vc-web" not in site.edge.mirror.links
        assert not (site.etc / "web").exists()

    on_site(tmp_path, scenario)


def test_a_running_container_is_attached_by_connect(tmp_path: Path) -> None:
    """Hot-plugged, and unplugged again by disconnect."""

    async def scenario(site: Site) -> None:
        await site.start("web")
        await site.connect("web")
        assert site.registry.snapshot.ports["backend/web"].up
        await site.commit(lambda s: disconnect(s, "web", None, 1.0))
        await site.settle()
        assert "vc-web" not in site.edge.mirror.links
        assert not site.registry.snapshot.ports

    on_site(tmp_path, scenario)


def test_a_new_life_gets_a_new_veth(tmp_path: Path) -> None:
    """The old one leads into a namespace that is gone."""

    async def scenario(site: Site) -> None:
        await site.connect("web")
        first = await site.start("web")
        before = site.edge.mirror.links["vc-web"].index
        site.edge.remove_namespace(WEB)
        await site.start("web")
        await site.commit(lambda s: stopped(s, first))  # arrives late, and means the former life
        await site.settle()
        after = site.edge.mirror.links["vc-web"].index
        assert after != before
        assert site.registry.snapshot.ports["backend/web"].ifindex == after

    on_site(tmp_path, scenario)


def test_many_starts_at_once_are_attached_together(tmp_path: Path) -> None:
    """Forty containers: each has its port; one that fails does not hold up the others."""

    async def scenario(site: Site) -> None:
        for number in range(40):
            await site.connect(f"w{number}")
        instances = []
        for number in range(40):
            path = f"/run/netns/w{number}"
            if number != 7:
                site.edge.add_namespace(path)
            instances.append(Instance(f"w{number}", "container", "netns", "1", path))
        await site.commit(lambda s: Change(put=tuple(instances)))
        await site.settle()
        ports = site.registry.snapshot.ports
        assert sum(port.up for port in ports.values()) == 39
        assert "backend/w7" not in ports
        assert [str(target) for target in site.reconciler.problems] == ["port backend/w7"]

    on_site(tmp_path, scenario)


DAMAGE: dict[str, list[Op]] = {
    "bridge deleted": [DeleteLink(name="volt-backend")],
    "address removed": [DeleteAddress(name="volt-backend", address=IPv4Interface("10.30.0.1/24"))],
    "bridge down": [SetLink(name="volt-backend", up=False)],
    "port unplugged": [SetLink(name="vc-web", master="")],
    "port down": [SetLink(name="vc-web", up=False)],
    "port deleted": [DeleteLink(name="vc-web")],
    "no hairpin any more": [SetLink(name="vc-web", hairpin=False)],
    "netfilter off": [SetLink(name="volt-backend", netfilter=False)],
    "loopback not routed": [SetLink(name="volt-backend", localnet=False)],
    "other mtu": [SetLink(name="vc-web", mtu=1400)],
    "address inside": [
        DeleteAddress(namespace=WEB, name="eth0", address=IPv4Interface("10.30.0.2/24"))
    ],
    "forwarding off": [SetSysctl(key=FORWARDING, value="0")],
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_damage_by_foreign_hands_is_repaired_and_told(damage: list[Op], tmp_path: Path) -> None:
    """Whatever was done, everything is as before and an event says so."""

    def shape(site: Site) -> object:
        links = site.edge.mirror.links
        return {
            name: (each.kind, each.up, each.mtu, each.alias, bool(each.master), flags(each))
            for name, each in links.items()
        }, {name: site.edge.mirror.addresses_of(name) for name in links}

    def flags(link: Link) -> tuple[bool, ...]:
        return link.netfilter, link.localnet, link.hairpin

    async def scenario(site: Site) -> None:
        await site.connect("web")
        await site.start("web")
        before = shape(site)
        assert site.repaired() == []
        site.edge.by_hand(*damage)
        await site.settle()
        assert shape(site) == before
        assert site.registry.snapshot.ports["backend/web"].up
        assert await site.edge.read_sysctl(FORWARDING) == "1"
        inside = await site.edge.inside(WEB)
        assert inside.addresses["eth0"] == {IPv4Interface("10.30.0.2/24")}
        assert site.repaired()

    on_site(tmp_path, scenario)


def test_a_lost_default_route_comes_back(tmp_path: Path) -> None:
    """Also what is inside a namespace is watched."""

    async def scenario(site: Site) -> None:
        await site.connect("web")
        await site.start("web")
        inside = await site.edge.inside(WEB)
        (route,) = [each for each in inside.routes if each.destination == ANYWHERE]
        assert route.gateway is not None
        gone = DeleteRoute(namespace=WEB, name="eth0", destination=ANYWHERE, gateway=route.gateway)
        site.edge.by_hand(gone)
        await site.settle()
        assert route in (await site.edge.inside(WEB)).routes

    on_site(tmp_path, scenario)


def test_a_restart_changes_nothing_that_is_right(tmp_path: Path) -> None:
    """A second reconciler finds everything in order: no operation at all."""

    async def scenario(site: Site) -> None:
        await site.connect("web")
        await site.start("web")
        site.edge.carried_out.clear()
        second = Reconciler(
            site.registry, site.edge, Bus(), ResolvConf(site.etc), lambda network, index: None
        )
        second.mark_all()
        work = asyncio.create_task(second.run())
        await second.settled_all()
        work.cancel()
        assert site.edge.carried_out == []
        assert site.registry.snapshot.ports["backend/web"].inside == "eth0"

    on_site(tmp_path, scenario)


def test_a_taken_eth0_is_stepped_over(tmp_path: Path) -> None:
    """A namespace may have an eth0 of its own; ours is eth1 then."""

    async def scenario(site: Site) -> None:
        site.edge.add_namespace(WEB)
        site.edge.by_hand(
            AddVeth(
                name="foreign",
                master="volt-backend",
                alias="",
                mtu=1500,
                mac="02:00:00:00:00:01",
                peer="eth0",
                peer_mac="02:00:00:00:00:02",
                peer_namespace=WEB,
            )
        )
        await site.connect("web")
        await site.commit(lambda s: started(s, Instance("web", "container", "netns", "1", WEB)))
        await site.settle()
        port = site.registry.snapshot.ports["backend/web"]
        assert (port.up, port.inside) == (True, "eth1")

    on_site(tmp_path, scenario)


def test_a_port_that_somebody_else_attached_is_seen(tmp_path: Path) -> None:
    """Under its altname, without an address until one is known; it goes when it is unplugged."""

    async def scenario(site: Site) -> None:
        site.edge.plug("vb-web-fronroEl", "volt-backend", altname="vb-web-frontend")
        await site.settle()
        port = site.registry.snapshot.ports["backend/web-frontend"]
        assert (port.up, port.made, port.address) == (True, False, None)
        site.edge.by_hand(SetLink(name="vb-web-fronroEl", master=""))
        await site.settle()
        assert not site.registry.snapshot.ports

    on_site(tmp_path, scenario)


@pytest.mark.parametrize("name", ['vb-"web', "vb-web*", "vb-w\u00e9b"])
def test_a_port_that_no_rule_can_name_is_turned_away(tmp_path: Path, name: str) -> None:
    """It is taken off the bridge, as often as it is put there, and the reason stays with it."""

    async def scenario(site: Site) -> None:
        site.edge.plug(name, "volt-backend")
        for _ in range(2):
            await site.settle()
            assert site.edge.mirror.links[name].master == 0
            assert site.registry.snapshot.ports == {}
            (reason,) = site.reconciler.strangers.reasons
            assert f"{name!r} was taken off volt-backend" in reason
            site.edge.by_hand(SetLink(name=name, master="volt-backend"))
        await site.settle()
        site.edge.by_hand(DeleteLink(name=name))
        assert site.reconciler.strangers.reasons == []

    on_site(tmp_path, scenario)


def test_what_the_kernel_refuses_is_told_and_tried_again(tmp_path: Path) -> None:
    """Who waits learns the reason; it stays a problem until it works."""

    async def scenario(site: Site) -> None:
        target = Target(Rank.PORT, "backend/web")
        instance = Instance("web", "container", "netns", "1", WEB)
        await site.connect("web")
        await site.commit(lambda s: started(s, instance))  # its namespace is not there
        with pytest.raises(KernelRefused, match="web"):
            await site.reconciler.settled(target)
        assert target in site.reconciler.problems
        assert [each.what for each in site.events if isinstance(each, Degraded)] == [str(target)]
        site.edge.add_namespace(WEB)
        await until(lambda: not site.reconciler.problems)
        assert site.registry.snapshot.ports["backend/web"].up

    on_site(tmp_path, scenario)


def test_a_single_refusal_is_not_worth_a_word(tmp_path: Path) -> None:
    """Things come and go under volt's hands; a second look puts it right."""

    async def scenario(site: Site) -> None:
        await site.connect("web")
        site.edge.refuse(AddVeth, errno.ENOMEM)
        await site.start("web")
        assert site.registry.snapshot.ports["backend/web"].up
        assert not [each for each in site.events if isinstance(each, Degraded)]

    on_site(tmp_path, scenario)


def test_a_stop_forgets_the_flows_of_the_address(tmp_path: Path) -> None:
    """Nobody may inherit the tracked connections of an address."""

    async def scenario(site: Site) -> None:
        await site.connect("web")
        instance = await site.start("web")
        address = site.registry.snapshot.ports["backend/web"].address
        assert address is not None
        other = address + 7
        site.edge.flows = [flow_of(address), flow_of(other)]
        await site.stop(instance)
        await until(lambda: len(site.edge.flows) == 1)
        assert site.edge.flows == [flow_of(other)]

    on_site(tmp_path, scenario)


def flow_of(address: IPv4Address) -> Tracked:
    return Tracked(IPv4Address("192.0.2.2"), address, 17, 53, address)


def test_a_deleted_network_loses_its_bridge(tmp_path: Path) -> None:
    """And nothing else goes with it."""

    async def scenario(site: Site) -> None:
        await site.commit(lambda s: create_network(s, AROUND, "other", "10.40.0.0/24"))
        await site.settle()
        await site.commit(lambda s: delete_network(s, "other", "volt0"))
        await site.settle()
        assert "volt-other" not in site.edge.mirror.links
        assert "volt-backend" in site.edge.mirror.links

    on_site(tmp_path, scenario)


def test_the_resolv_conf_of_a_mapped_name_goes_with_its_namespace(tmp_path: Path) -> None:
    """It stands under the namespace's name, Web_1, not under the workload's."""

    async def scenario(site: Site) -> None:
        await site.connect("web-1")
        site.edge.add_namespace("/run/netns/Web_1")
        instance = Instance("web-1", "container", "netns", "1", "/run/netns/Web_1")
        await site.commit(lambda s: started(s, instance))
        await site.settle()
        assert (site.etc / "Web_1" / "resolv.conf").exists()
        await site.stop(instance)
        assert not list(site.etc.iterdir())

    on_site(tmp_path, scenario)


@pytest.mark.parametrize("alias", ["volt:backend/../x", "volt:../x", "volt:/", "volt:backend/a b"])
def test_an_alias_that_volt_cannot_have_written_says_nothing(tmp_path: Path, alias: str) -> None:
    """No file elsewhere goes because of it, and a port that bears it is somebody else's."""

    other = tmp_path / "x" / "resolv.conf"
    other.parent.mkdir()
    other.write_text(MARK)

    async def scenario(site: Site) -> None:
        site.edge.plug("tap7", "volt-backend")
        site.edge.by_hand(SetLink(name="tap7", alias=alias))
        await site.settle()
        assert other.exists()
        assert not site.registry.snapshot.ports["backend/tap7"].made

    on_site(tmp_path / "etc", scenario)


def test_a_container_connected_as_a_virtual_machine_is_a_problem(tmp_path: Path) -> None:
    """It has no network, and whoever looks is told why and what to do."""

    async def scenario(site: Site) -> None:
        await site.connect("db", kind="vm")
        await site.start("db")
        assert ["as a vm" in reason for reason in site.reconciler.problems.values()] == [True]

    on_site(tmp_path, scenario)


def test_a_virtual_machine_has_its_tap_before_it_runs(tmp_path: Path) -> None:
    """Its port is known once its carrier is up."""

    async def scenario(site: Site) -> None:
        await site.connect("db", kind="vm")
        assert site.edge.mirror.links["vt-db"].kind == "tun"
        assert not site.registry.snapshot.ports
        site.edge.set_carrier("vt-db", True)
        await site.commit(lambda s: started(s, Instance("db", "vm", "tap", "1")))
        await site.settle()
        assert site.registry.snapshot.ports["backend/db"].up

    on_site(tmp_path, scenario)


def test_what_breaks_again_and_again_is_repaired_once_in_a_while(tmp_path: Path) -> None:
    """Somebody deletes his own end in a loop: the first repairs are immediate, others wait; and a
    commit about it does not."""

    async def scenario(site: Site) -> None:
        await site.connect("web")
        await site.start("web")
        for _ in range(3 * BURST):
            if "vc-web" in site.edge.mirror.links:
                await site.edge.execute([DeleteLink(name="vc-web")])
            await site.settle()
        assert BURST <= site.repaired().count("port backend/web") < 2 * BURST
        await site.commit(lambda s: disconnect(s, "web", None, 1.0))
        await site.connect("web")
        assert site.registry.snapshot.ports["backend/web"].up

    on_site(tmp_path, scenario)


def test_patience_comes_back() -> None:
    """One repair a second is allowed for ever, and a pause makes good for what was before."""
    patience, target, now = Patience(), Target(Rank.PORT, "backend/web"), 0.0
    for _ in range(BURST - 1):
        assert not patience.repaired(target, now)
    assert patience.repaired(target, now) == REFILL
    assert patience.repaired(target, now + REFILL) == REFILL
    assert not patience.repaired(target, now + 10 * REFILL)
    assert not patience.repaired(Target(Rank.PORT, "backend/db"), now)


def test_nothing_is_made_once_it_has_ended(tmp_path: Path) -> None:
    """What starts while the agent ends, or takes everything away, gets no port from a commit."""

    async def scenario(site: Site) -> None:
        await site.connect("web")
        assert site.work is not None
        site.work.cancel()
        await asyncio.wait([site.work])
        site.edge.add_namespace(WEB)
        instance = Instance("web", "container", "netns", "1", WEB)
        await site.commit(lambda s: started(s, instance))
        await site.edge.execute([])
        assert "web" in site.registry.snapshot.instances
        assert "vc-web" not in site.edge.mirror.links

    on_site(tmp_path, scenario)
