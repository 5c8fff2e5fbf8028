"""What each command asks the agent, and what it prints."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tests.cli.conftest import Volt
from tests.control.fake_agent import STATUS
from tests.control.rig import Rig
from volt_agent.control.messages import container, names, network
from volt_agent.control.messages.agent import Reset, Switch, Upgrade
from volt_agent.control.method import Nothing

NET_LIST = """\
NAME     BRIDGE        SUBNET        GATEWAY    NAT  CONNECTED  STATUS
volt0    volt0         10.0.0.0/24   10.0.0.1   yes  8          up
backend  volt-backend  10.30.0.0/24  10.30.0.1  yes  3          degraded
"""
BRIDGE_LIST = """\
NAME     SUBNET        MTU   CONNECTED  STATUS
volt0    10.0.0.0/24   1500  8          up
backend  10.30.0.0/24  1500  3          degraded
"""
PS = """\
NAME        KIND       RUNTIME  STATE    NETWORK        IP
api-server  container  netns    running  backend,volt0  10.30.0.2,10.0.0.5
db-primary  vm         tap      stopped  backend        10.30.0.3
later       container  -        pending  -              -
"""
CONTAINERS = """\
NAME        KIND       RUNTIME  STATE    NETWORK        IP
api-server  container  netns    running  backend,volt0  10.30.0.2,10.0.0.5
later       container  -        pending  -              -
"""
DNS_LIST = """\
NAME                   TYPE  ADDRESS    NETWORK  WORKLOAD
api-server.volt.local  A     10.30.0.2  backend  api-server
"""
NET_INSPECT = """\
Name:           backend
Status:         degraded
Bridge:         volt-backend
Subnet:         10.30.0.0/24
Gateway:        10.30.0.1
MTU:            1500
NAT:            yes
Port security:  yes
Connected:      3

Workloads
NAME        KIND       STATE    IP         MAC  INTERFACE
api-server  container  running  10.30.0.2  -    -

Problems
- the bridge is down
"""
NET_STATUS = (
    NET_LIST
    + """
Workloads:     1 running, 1 stopped, 1 pending
Asked for:     1 policy, 2 port forwards
Forwarding:    yes
Firewall:      loaded
Host inbound:  deny (settling)
Dropped:       host 3
DNS:           10.0.0.1,10.30.0.1
Upstreams:     1.1.1.1
Queries:       local 12

Ports that something listens on, closed to the outside
PROTO  ADDRESS  PORT  PROCESS
tcp    0.0.0.0  8080  evil?[2J

Problems
- backend: the bridge is down
"""
)
CONTAINER_INSPECT = """\
Name:       api-server
Kind:       container
Runtime:    netns
State:      running
Leader:     -
Namespace:  /run/netns/api-server
DNS names:  api-server.volt.local

Networks
NETWORK  IP         MAC                INTERFACE      INSIDE
backend  10.30.0.2  02:00:00:00:00:02  vc-api-server  eth0
volt0    10.0.0.5   -                  vc-api-1f2e3d  eth1

Interfaces inside
NAME  MAC                UP   ADDRESSES
eth0  02:00:00:00:00:02  yes  10.30.0.2/24

Port forwards
HOST-PORT  TARGET      TARGET-PORT  PROTO  STATUS
80         api-server  8080         tcp    active

Policies
NAME       FROM        TO          PORT  PROTO  ACTION  PACKETS
app-to-db  api-server  db-primary  5432  tcp    allow   0
"""
AGENT_STATUS = """\
State:            ready
Version:          0.1.0
Pid:              42
Generation:       1
Started:          2026-01-02T03:04:05Z (1d 1h ago)
Networks:         2
Workloads:        3, 1 running
Memory:           50.0 MiB
Loop lag:         0.4 ms (p99 of the last minute)
Configuration:    /etc/volt/config.yaml
State directory:  /var/lib/volt
Socket:           /run/volt/agent.sock
Problems:         none
"""
QUERY = """\
Asker:   api-server
View:    backend
Source:  local
Status:  NOERROR
Reason:  a name of volt's own zone

Records
NAME        TYPE  TTL  DATA
db-primary  A     5    10.30.0.3
"""


@pytest.mark.parametrize(
    ("command", "printed"),
    [
        ("net list", NET_LIST),
        ("net bridge list", BRIDGE_LIST),
        ("net inspect backend", NET_INSPECT),
        ("net inspect --name backend", NET_INSPECT),
        ("net status", NET_STATUS),
        ("net dns list", DNS_LIST),
        ("net dns query db-primary --from api-server", QUERY),
        ("ps", PS),
        ("container list", CONTAINERS),
        ("container inspect api-server", CONTAINER_INSPECT),
        ("status", AGENT_STATUS),
        ("net list -q", "volt0\nbackend\n"),
        ("ps --quiet", "api-server\ndb-primary\nlater\n"),
    ],
)
def test_what_is_printed(rig: Rig, volt: Volt, command: str, printed: str) -> None:
    """Golden tables: upper-case headers, aligned, `-` for what is not there."""
    result = volt(*command.split())
    assert (result.status, result.out, result.err) == (0, printed, "")


@pytest.mark.parametrize(
    ("command", "method", "params"),
    [
        (
            "net create --name backend2 --subnet 10.40.0.0/24",
            "net.create",
            network.CreateNetwork(name="backend2", subnet="10.40.0.0/24"),
        ),
        (
            "net create x --no-nat --mtu 9000 --port-security off",
            "net.create",
            network.CreateNetwork(name="x", nat=False, mtu=9000, port_security=False),
        ),
        (
            "net bridge create mybridge --subnet 10.50.0.0/24",
            "net.bridge.create",
            network.CreateNetwork(name="mybridge", subnet="10.50.0.0/24"),
        ),
        ("net delete backend", "net.delete", network.NetworkName(name="backend")),
        ("net delete --name backend", "net.delete", network.NetworkName(name="backend")),
        ("net bridge delete backend", "net.bridge.delete", network.NetworkName(name="backend")),
        (
            "net connect backend web",
            "net.connect",
            network.Connect(network="backend", workload="web"),
        ),
        (
            "net connect backend web --ip 10.30.0.9 --mac 02:00:00:00:00:09 --kind container"
            " --port-security on",
            "net.connect",
            network.Connect(
                network="backend",
                workload="web",
                ip="10.30.0.9",
                mac="02:00:00:00:00:09",
                kind="container",
                port_security=True,
            ),
        ),
        ("net disconnect web", "net.disconnect", network.Disconnect(workload="web")),
        (
            "net disconnect web --network backend",
            "net.disconnect",
            network.Disconnect(workload="web", network="backend"),
        ),
        ("net dns flush", "net.dns.flush", Nothing()),
        (
            "net dns query db-primary PTR --from web",
            "net.dns.query",
            names.QueryName(name="db-primary", type="PTR", workload="web"),
        ),
        (
            "container inspect api-server",
            "container.inspect",
            container.WorkloadName(name="api-server"),
        ),
        ("agent reload", "agent.reload", Nothing()),
        ("agent upgrade", "agent.upgrade", Upgrade()),
        (
            "agent upgrade --if-newer --timeout 5",
            "agent.upgrade",
            Upgrade(timeout=5.0, if_newer=True),
        ),
        ("agent switch dns", "agent.switch", Switch(part="dns")),
        ("agent switch ingress off", "agent.switch", Switch(part="ingress", on=False)),
        ("agent switch ingress on", "agent.switch", Switch(part="ingress", on=True)),
        ("agent reset", "agent.reset", Reset()),
        ("agent reset --purge", "agent.reset", Reset(purge=True)),
    ],
)
def test_what_is_asked(rig: Rig, volt: Volt, command: str, method: str, params: Any) -> None:
    """The options are the message."""
    assert volt(*command.split()).status == 0
    assert rig.agent.calls == [(method, params)]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            "net create new",
            "network new created: bridge volt-new, subnet 10.0.1.0/24, gateway 10.30.0.1\n",
        ),
        (
            "net create backend",
            "network backend exists already, unchanged: bridge volt-backend, "
            "subnet 10.30.0.0/24, gateway 10.30.0.1\n",
        ),
        ("net delete backend", "network backend deleted\n"),
        ("net rm backend", "network backend deleted\n"),
        ("container forget db", "db forgotten, and disconnected from backend\n"),
        (
            "net connect backend web",
            "web connected to backend: 10.30.0.2, 02:00:00:00:00:02, interface vc-web\n",
        ),
        (
            "net connect backend db --kind vm",
            "db connected to backend: 10.30.0.2, 02:00:00:00:00:02, interface vt-db\n"
            "it does not run yet: it is attached when it starts\n"
            "QEMU: -netdev tap,id=net0\n"
            "libvirt:\n<interface type='ethernet'/>\n",
        ),
        ("net disconnect web", "web disconnected from backend\n"),
        ("net dns flush", "7 cached answers forgotten\n"),
        ("agent reload", "changed: network.dns.upstream\nneeds a restart: network.mtu\n"),
        (
            "agent upgrade",
            "volt 0.2.0 has taken over: process 43, generation 2, in 1.2 s\n",
        ),
        ("agent upgrade --if-newer", "volt 0.2.0 is what runs\n"),
        ("agent switch ingress on", "ingress: on: listens on 80\n"),
        ("agent reset", "removed bridge volt-backend\n"),
    ],
)
def test_what_is_said_after_a_change(rig: Rig, volt: Volt, command: str, said: str) -> None:
    """One line on what happened; nothing with -q."""
    assert volt(*command.split()).out == said
    rig.agent.start_over()
    assert volt("-q", *command.split()).out == ""


def test_json_is_an_array_of_the_contracts_keys(rig: Rig, volt: Volt) -> None:
    """Lists are arrays of objects with lower-case keys."""
    found = json.loads(volt("net", "list", "-o", "json").out)
    assert list(found[0]) == [
        "name", "bridge", "subnet", "gateway", "mtu", "nat", "internal", "connected", "status",
        "port_security",
    ]  # fmt: skip
    found = json.loads(volt("ps", "-o", "json").out)
    assert found[0]["networks"][0] == {
        "network": "backend",
        "ip": "10.30.0.2",
        "mac": "02:00:00:00:00:02",
        "interface": "vc-api-server",
    }


@pytest.mark.parametrize(
    "command",
    ["net list", "net status", "net inspect backend", "ps", "net dns list", "status",
     "net create x", "net connect backend web", "net dns flush", "agent reset", "container list"],
)  # fmt: skip
def test_json_and_yaml_say_the_same(rig: Rig, volt: Volt, command: str) -> None:
    """Both have everything, whatever the table shows; -q changes nothing."""
    as_json = volt(*command.split(), "-o", "json", "-q").out
    rig.agent.start_over()
    as_yaml = volt(*command.split(), "--output", "yaml").out
    assert json.loads(as_json) == yaml.safe_load(as_yaml)
    assert as_json.startswith(("[\n  ", "{\n  "))


def test_an_empty_list(rig: Rig, volt: Volt) -> None:
    """Headers alone, and an empty array."""
    rig.agent.networks.clear()
    assert volt("net", "bridge", "list").out == "NAME  SUBNET  MTU  CONNECTED  STATUS\n"
    assert volt("net", "list", "-o", "json").out == "[]\n"


def test_a_name_that_does_not_exist_is_a_status_of_three(rig: Rig, volt: Volt) -> None:
    """The answer is shown, and the exit status says what it means."""
    result = volt("net", "dns", "query", "nope")
    assert result.status == 3
    assert "Status:  NXDOMAIN" in result.out
    assert result.err == "error: host is told that nope does not exist (NXDOMAIN)\n"


def test_verbose_says_what_is_asked(rig: Rig, volt: Volt) -> None:
    """On standard error, so that the output stays usable."""
    result = volt("-v", "net", "list")
    assert result.err.startswith("net.list: 200 in ")
    assert result.out == NET_LIST


def test_version_of_both_sides(rig: Rig, volt: Volt) -> None:
    """The program and the agent."""
    result = volt("--version")
    assert (result.status, result.out, result.err) == (0, "volt 0.1.0\nagent 0.1.0\n", "")


def test_versions_that_differ(rig: Rig, volt: Volt, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an upgrade the old agent still runs: somebody has to restart it."""
    monkeypatch.setattr("volt_agent.cli.root.__version__", "0.2.0")
    result = volt("--version")
    assert result.status == 0
    assert result.out == f"volt 0.2.0\nagent {STATUS.version}\n"
    assert result.err == "warning: the versions differ; restart the agent\n"


def test_version_without_an_agent(volt: Volt, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no error that none runs."""
    monkeypatch.setenv("VOLT_SOCKET", "/nonexistent/agent.sock")
    result = volt("--version")
    assert result.status == 0
    assert result.out.splitlines()[0] == "volt 0.1.0"
    assert "no agent is running" in result.out.splitlines()[1]
