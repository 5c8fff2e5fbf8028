"""Compose files, read."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.compose.files import HANDBOOK, PUBLIC
from volt_agent.compose.file import Found, load
from volt_agent.compose.show import as_file
from volt_agent.compose.variables import MissingVariable, env_file, substitute
from volt_agent.control.messages.compose import WantedConnection, WantedForward, WantedNetwork
from volt_agent.errors import Invalid, NotFound, VoltError


def read(tmp_path: Path, text: str, project: str | None = "shop", **env: str) -> Found:
    (tmp_path / "compose.yaml").write_text(text)
    return load(tmp_path, None, project, env)


def mistakes(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(Invalid) as caught:
        read(tmp_path, text)
    return [each.removeprefix("compose.yaml: ") for each in caught.value.message.splitlines()]


def test_the_handbooks_example(tmp_path: Path) -> None:
    """Its networks keep their names, whatever the project is called."""
    found = read(tmp_path, HANDBOOK)
    assert found.wanted.networks == (
        WantedNetwork(name="frontend", subnet="10.20.0.0/24", mtu=9000),
        WantedNetwork(name="backend", subnet="10.30.0.0/24", nat=False),
    )
    assert not found.ignored


@pytest.mark.parametrize("name", PUBLIC)
def test_a_resolved_file_reads_as_the_same_project(tmp_path: Path, name: str) -> None:
    """`volt compose config > compose.yaml` changes nothing."""
    wanted = read(tmp_path, PUBLIC[name]).wanted
    again = read(tmp_path, yaml.safe_dump(as_file(wanted), sort_keys=False))
    assert (again.wanted, again.ignored) == (wanted, ())


@pytest.mark.parametrize(
    ("port", "forward"),
    [
        ("8080:80", ("8080", "80", "tcp", None)),
        ("127.0.0.1:8080:80/udp", ("8080", "80", "udp", "127.0.0.1")),
        ("0.0.0.0:8080:80", ("8080", "80", "tcp", None)),
        ("8000-8010:9000-9010", ("8000-8010", "9000-9010", "tcp", None)),
        ("${PORT:-8081}:80", ("8081", "80", "tcp", None)),
        ("{target: 80, published: 8080}", ("8080", "80", "tcp", None)),
        (
            "{target: 53, published: '5353', protocol: udp, host_ip: 192.0.2.1}",
            ("5353", "53", "udp", "192.0.2.1"),
        ),
    ],
)
def test_ports(tmp_path: Path, port: str, forward: tuple[str, str, str, str | None]) -> None:
    """The short and the long form."""
    text = port if port.startswith("{") else f'"{port}"'
    found = read(tmp_path, f"services: {{web: {{ports: [{text}]}}}}")
    host_port, target_port, proto, host_ip = forward
    assert proto in ("tcp", "udp")
    assert found.wanted.forwards == (
        WantedForward(
            host_port=host_port,
            target="web",
            target_port=target_port,
            proto="udp" if proto == "udp" else "tcp",
            host_ip=host_ip,
        ),
    )


def test_a_port_that_names_none_of_the_host_is_ignored(tmp_path: Path) -> None:
    """And said to be: volt chooses none."""
    found = read(tmp_path, "services: {web: {ports: [3000]}}")
    assert found.wanted.forwards == ()
    assert "services.web.ports[0] is ignored" in found.ignored[0]


def test_services_without_networks_share_one_of_the_project(tmp_path: Path) -> None:
    """Called PROJECT-default; no such network where nobody needs it, or with network_mode none."""
    text = "services: {web: {}, job: {network_mode: none}, db: {container_name: my_db}}"
    wanted = read(tmp_path, text).wanted
    assert wanted.networks == (WantedNetwork(name="shop-default"),)
    assert wanted.connections == (
        WantedConnection(network="shop-default", workload="web"),
        WantedConnection(network="shop-default", workload="my-db"),
    )


def test_aliases_and_merge_keys(tmp_path: Path) -> None:
    """What many public files have; what a mapping has itself wins."""
    text = """
    x-base: &base {networks: [front], ports: ["80:80"]}
    networks: {front: }
    services: {web: {<<: *base}, api: {<<: [*base], ports: []}}
    """
    wanted = read(tmp_path, text).wanted
    assert [each.workload for each in wanted.connections] == ["web", "api"]
    assert [each.target for each in wanted.forwards] == ["web"]


def test_aliases_are_not_unfolded(tmp_path: Path) -> None:
    """A "billion laughs" file is as small in memory as on disk, wherever it is used."""
    lines = ["x-0: &n0 {a: b}", *(f"x-{i}: &n{i} [{f'*n{i - 1},' * 9}]" for i in range(1, 40))]
    for use in ("networks: *n39", "services: {w: {networks: *n39}}", "name: *n39"):
        assert "got a list" in mistakes(tmp_path, "\n".join([*lines, use]))[0]
    used = "services: {w: {image: *n39, ports: []}}"
    assert len(read(tmp_path, "\n".join([*lines, used])).ignored) == 1


def test_what_volt_has_no_use_for_is_named(tmp_path: Path) -> None:
    """Each key once, with its path; extensions are nobody's business."""
    text = """
    volumes: {}
    networks: {front: {enable_ipv6: true, x-mine: 1, ipam: {options: {}}}}
    services: {web: {image: x, networks: {front: {aliases: [www]}}}}
    """
    paths = [each.split()[1] for each in read(tmp_path, text).ignored]
    assert paths == [
        "volumes",
        "networks.front.enable_ipv6",
        "networks.front.ipam.options",
        "services.web.image",
        "services.web.networks.front.aliases",
    ]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("networks: {a: {driver: overlay}}", "networks.a.driver: expected bridge, got 'overlay'"),
        (
            "networks: {a: {subnet: 10.1.0.0/16}, b: {subnet: 10.1.2.0/24}}",
            "networks.b: subnet 10.1.2.0/24 overlaps 10.1.0.0/16 of networks.a",
        ),
        (
            "networks: {a: {subnet: 10.1.0.0/24, ipam: {config: [{subnet: 10.2.0.0/24}]}}}",
            "networks.a: one subnet expected, got 10.1.0.0/24 and 10.2.0.0/24",
        ),
        (
            "networks: {a: {ipam: {config: [{subnet: 10.1.0.0/24, gateway: 10.1.0.9}]}}}",
            "networks.a.ipam.config[0].gateway: "
            "the gateway is the first address, 10.1.0.1, not '10.1.0.9'",
        ),
        ("networks: {a: {subnet: 10.1.0.5/24}}", "networks.a.subnet: subnet 10.1.0.5/24 is an "),
        ("networks: {a: {options: {mtu: -1}}}", "networks.a.options.mtu: expected a number"),
        ("networks: {a: {options: {mtu: 20}}}", "networks.a.options.mtu: expected 576 to 65521"),
        ("networks: {a: {internal: maybe}}", "networks.a.internal: expected true or false"),
        ("networks: {a_b: , a-b: }", "networks.a-b: is called a-b, as networks.a_b is"),
        (
            "networks: {a: {external: true, subnet: 10.1.0.0/24}}",
            "networks.a.subnet: an external network exists already; leave this out",
        ),
        ("networks: [a]", "networks: expected a mapping, got a list"),
        ("networks: {a: 7}", "networks.a: expected a mapping, got '7'"),
        ("services: {w: {networks: [x]}}", "services.w.networks: 'x' is not in the section"),
        (
            "networks: {a: {subnet: 10.1.0.0/24}}\n"
            "services: {w: {networks: {a: {ipv4_address: 10.2.0.9}}}}",
            "services.w.networks.a.ipv4_address: 10.2.0.9 is not in 10.1.0.0/24",
        ),
        ('services: {w: {ports: ["80:80/sctp"]}}', "services.w.ports[0]: expected protocol"),
        ('services: {w: {ports: ["80-81:80"]}}', "services.w.ports[0]: 2 ports of the host for 1"),
        ('services: {w: {ports: ["x:80:80"]}}', "services.w.ports[0]: expected an IPv4 address"),
        ('services: {w: {ports: ["0:80"]}}', "services.w.ports[0]: '0' is not a port"),
        ("services: {w: {ports: [{published: 80}]}}", "services.w.ports[0].target: is missing"),
        ('services: {w: {ports: ["${X?}:80"]}}', "services.w.ports[0]: variable X is not set"),
        ("services: {w: , w: }", "services.w: expected once, got it again on line 1"),
        ("a: [", "line 2: "),
        ("a: *b", "line 1: there is no anchor &b before it"),
        ("a: !!python/object:os.system x", "line 1: tags ("),
        ("- 1", "the file: expected a mapping, got a list"),
    ],
)
def test_mistakes_name_their_key(tmp_path: Path, text: str, mistake: str) -> None:
    """One line each, with the file, the path and what is wrong."""
    assert mistakes(tmp_path, text)[0].startswith(mistake)


def test_the_project(tmp_path: Path) -> None:
    """-p, COMPOSE_PROJECT_NAME, `name`, the directory: in this order, as docker compose has it."""
    place = tmp_path / "_My Shop.2"
    place.mkdir()
    assert read(place, "", None).wanted.name == "myshop2"
    assert read(place, "name: site", None).wanted.name == "site"
    assert read(place, "name: site", None, COMPOSE_PROJECT_NAME="env").wanted.name == "env"
    assert read(place, "name: site", "mine", COMPOSE_PROJECT_NAME="env").wanted.name == "mine"
    with pytest.raises(Invalid, match="project name"):
        read(place, "", "No Such")


def test_the_file_is_found_above(tmp_path: Path) -> None:
    """As docker compose does; none at all is an error."""
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / "a" / "docker-compose.yml").write_text("")
    assert load(below, None, None, {}).wanted.name == "a"
    with pytest.raises(NotFound):
        load(below, "other.yaml", None, {})
    with pytest.raises(Invalid, match="regular"):
        load(below, ".", None, {})


def test_variables() -> None:
    """The forms of the Compose specification."""
    env = {"A": "1", "EMPTY": ""}
    text = "$A ${A} ${B:-x} ${B-y} ${EMPTY-y} ${EMPTY:-z} ${A:+set} ${B+set} $$A $B."
    assert substitute(text, env) == "1 1 x y  z set  $A ."
    for wrong in ("$", "${", "${A", "${1}", "${B:?say why}"):
        with pytest.raises(MissingVariable):
            substitute(wrong, env)
    assert env_file("# no\nexport A='1'\nB=2 # two\n\nC") == {"A": "1", "B": "2"}


KEYS = [
    *("networks", "services", "ports", "default", "subnet", "ipam", "config"),
    *("external", "name", "target", "published", "options", "mtu", "a"),
]
SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["networks", "services", "name"]), VALUES))
def test_no_file_gets_past_the_reader(
    tmp_path_factory: pytest.TempPathFactory, value: object
) -> None:
    """Whatever it says: a project, or an error for the user."""
    place = tmp_path_factory.getbasetemp()
    with contextlib.suppress(VoltError):
        read(place, yaml.safe_dump(value))
