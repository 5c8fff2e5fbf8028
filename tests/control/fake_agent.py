"""Handlers that answer from memory: two networks, three workloads, a few names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import asdict, replace

from volt_agent.control.api import Handler
from volt_agent.control.messages import agent, container, names, network, policy, port, workload
from volt_agent.control.method import Method, Nothing
from volt_agent.errors import NotFound, Refused

VOLT0 = network.Network(
    name="volt0",
    bridge="volt0",
    subnet="10.0.0.0/24",
    gateway="10.0.0.1",
    mtu=1500,
    nat=True,
    internal=False,
    connected=8,
    status="up",
)
BACKEND = network.Network(
    name="backend",
    bridge="volt-backend",
    subnet="10.30.0.0/24",
    gateway="10.30.0.1",
    mtu=1500,
    nat=True,
    internal=False,
    connected=3,
    status="degraded",
)
API = workload.Workload(
    name="api-server",
    kind="container",
    runtime="netns",
    state="running",
    networks=[
        workload.Attachment(
            network="backend", ip="10.30.0.2", mac="02:00:00:00:00:02", interface="vc-api-server"
        ),
        workload.Attachment(network="volt0", ip="10.0.0.5", mac=None, interface="vc-api-1f2e3d"),
    ],
)
DB = workload.Workload(
    name="db-primary",
    kind="vm",
    runtime="tap",
    state="stopped",
    networks=[workload.Attachment(network="backend", ip="10.30.0.3", interface="vt-db-primary")],
)
NEW = workload.Workload(name="later", kind="container", runtime=None, state="pending", networks=[])
NAMES = [
    names.DnsEntry(
        name="api-server.volt.local",
        type="A",
        address="10.30.0.2",
        network="backend",
        workload="api-server",
    )
]
CLOSED = network.ClosedPort(protocol="tcp", address="0.0.0.0", port=8080, process="evil\x1b[2J")
STATUS = agent.AgentStatus(
    version="0.1.0",
    pid=42,
    state="ready",
    started="2026-01-02T03:04:05Z",
    uptime=90061.0,
    networks=2,
    workloads=3,
    running=1,
    config="/etc/volt/config.yaml",
    state_dir="/var/lib/volt",
    socket="/run/volt/agent.sock",
    loop_lag_p99_ms=0.42,
    memory=50 * 2**20,
)


class FakeAgent:
    """Remembers every call as (method, parameters); creating a network that is there is a no-op."""

    def __init__(self) -> None:
        self.start_over()

    def start_over(self) -> None:
        """As if nothing had been asked."""
        self.networks = {each.name: each for each in (VOLT0, BACKEND)}
        self.calls: list[tuple[str, Any]] = []

    def handlers(self) -> dict[str, Handler]:
        answers: dict[Method[Any, Any], Callable[[Any], Any]] = {
            network.CREATE: self._create,
            network.DELETE: self._delete,
            network.LIST: self._list,
            network.INSPECT: self._inspect,
            network.CONNECT: self._connect,
            network.DISCONNECT: self._disconnect,
            network.STATUS: self._net_status,
            network.BRIDGE_CREATE: self._create,
            network.BRIDGE_DELETE: self._delete,
            network.BRIDGE_LIST: self._list,
            names.LIST: lambda params: NAMES,
            names.FLUSH: lambda params: names.Flushed(entries=7),
            names.QUERY: self._query,
            workload.PS: lambda params: [API, DB, NEW],
            container.LIST: lambda params: [API, NEW],
            container.INSPECT: self._inspect_workload,
            container.FORGET: lambda params: container.ForgottenWorkload(
                name=params.name, networks=["backend"]
            ),
            agent.RELOAD: lambda params: agent.Reloaded(
                changed=["network.dns.upstream"], restart_needed=["network.mtu"]
            ),
            agent.UPGRADE: lambda params: agent.Upgraded(
                pid=0 if params.if_newer else 43, version="0.2.0", generation=2, seconds=1.25
            ),
            agent.SWITCH: lambda params: agent.Switched(
                part=params.part, on=params.on is not False, detail="on: listens on 80"
            ),
            agent.RESET: lambda params: agent.ResetReport(removed=["bridge volt-backend"]),
        }
        return {method.name: self._remember(method.name, each) for method, each in answers.items()}

    def _remember(self, name: str, answer: Any) -> Handler:
        async def handler(params: Any) -> Any:
            self.calls.append((name, params))
            return answer(params)

        return handler

    def _create(self, params: network.CreateNetwork) -> network.CreatedNetwork:
        if params.name in self.networks:
            return network.CreatedNetwork(changed=False, **asdict(self.networks[params.name]))
        if params.subnet == VOLT0.subnet:
            raise Refused(f"{params.subnet} overlaps network volt0", "choose another --subnet")
        made = replace(
            BACKEND,
            name=params.name,
            bridge=f"volt-{params.name}",
            subnet=params.subnet or "10.0.1.0/24",
            connected=0,
        )
        self.networks[params.name] = made
        return network.CreatedNetwork(**asdict(made))

    def _delete(self, params: network.NetworkName) -> network.DeletedNetwork:
        gone = self.networks.pop(self._found(params.name).name)
        return network.DeletedNetwork(name=gone.name, bridge=gone.bridge)

    def _list(self, params: Nothing) -> list[network.Network]:
        return [*self.networks.values()]

    def _inspect(self, params: network.NetworkName) -> network.NetworkDetail:
        member = network.Member(
            name="api-server", kind="container", state="running", ip="10.30.0.2"
        )
        found = self._found(params.name)
        return network.NetworkDetail(
            workloads=[member], problems=["the bridge is down"], **asdict(found)
        )

    def _found(self, name: str) -> network.Network:
        if name not in self.networks:
            raise NotFound(f"there is no network {name}", "volt net list shows them")
        return self.networks[name]

    def _connect(self, params: network.Connect) -> network.Connection:
        self._found(params.network)
        is_vm = params.kind == "vm"
        return network.Connection(
            network=params.network,
            workload=params.workload,
            kind=params.kind or "container",
            ip=params.ip or "10.30.0.2",
            mac=params.mac or "02:00:00:00:00:02",
            interface=f"{'vt' if is_vm else 'vc'}-{params.workload}"[:15],
            state="pending" if is_vm else "attached",
            qemu="-netdev tap,id=net0" if is_vm else None,
            libvirt="<interface type='ethernet'/>" if is_vm else None,
        )

    def _disconnect(self, params: network.Disconnect) -> network.Disconnected:
        return network.Disconnected(workload=params.workload, networks=["backend"])

    def _net_status(self, params: Nothing) -> network.NetStatus:
        return network.NetStatus(
            networks=[*self.networks.values()],
            forwarding=True,
            firewall=network.FirewallState(
                state="loaded", host_inbound="deny", settling=True, drops={"host": 3, "spoofed": 0}
            ),
            dns=network.DnsState(
                enabled=True,
                listening=["10.0.0.1", "10.30.0.1"],
                upstreams=["1.1.1.1"],
                counters={"local": 12},
            ),
            counts=network.Counts(running=1, stopped=1, pending=1, policies=1, forwards=2),
            closed_ports=[CLOSED],
            problems=["backend: the bridge is down"],
        )

    def _query(self, params: names.QueryName) -> names.Answer:
        known = params.name == "db-primary"
        record = names.Record(name="db-primary", type="A", ttl=5, data="10.30.0.3")
        return names.Answer(
            name=params.name,
            type=params.type,
            asker=params.workload or "host",
            status="NOERROR" if known else "NXDOMAIN",
            source="local",
            view=["backend"],
            reason="a name of volt's own zone",
            records=[record] if known else [],
        )

    def _inspect_workload(self, params: container.WorkloadName) -> container.WorkloadDetail:
        if params.name != API.name:
            raise NotFound(f"there is no workload {params.name}")
        return container.WorkloadDetail(
            inside={"backend": "eth0", "volt0": "eth1"},
            names=["api-server.volt.local"],
            namespace="/run/netns/api-server",
            interfaces=[
                container.Interface(
                    name="eth0", mac="02:00:00:00:00:02", up=True, addresses=["10.30.0.2/24"]
                )
            ],
            forwards=[
                port.Forward(
                    host_port="80",
                    target="api-server",
                    target_port="8080",
                    proto="tcp",
                    status="active",
                )
            ],
            policies=[
                policy.Policy(
                    name="app-to-db",
                    source="api-server",
                    target="db-primary",
                    port="5432",
                    proto="tcp",
                    action="allow",
                )
            ],
            **asdict(API),
        )
