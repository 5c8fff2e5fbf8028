"""What a configuration file may say, and what is said about one that is wrong."""

from __future__ import annotations

import os
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from volt_agent.config import Config, ConfigError, Eab, HostAllow, Listen, Upstream, load, parse
from volt_agent.config.check import all_paths
from volt_agent.config.load import FILE_MAX
from volt_agent.config.mistakes import MISTAKES_MAX
from volt_agent.config.schema import LETS_ENCRYPT, LETS_ENCRYPT_STAGING
from volt_agent.errors import Invalid
from volt_agent.model.host import HostPort

HANDBOOK = """\
network:
  default_bridge: volt0
  default_subnet: 10.0.0.0/24
  dns:
    enabled: true
    upstream:
      - 1.1.1.1
      - 8.8.8.8
    search_domains:
      - volt.local
  mtu: 1500
"""

EVERYTHING = """\
network:
  default_bridge: br0
  default_subnet: 172.20.0.0/16
  auto_connect: [machined, netns]
  mtu: 9000
  dns: {enabled: false, upstream: ["[2606:4700::1111]:5353", 127.0.0.53:53], search_domains: [A.b.]}
  dhcp: {enabled: false, lease_time: 600}
  firewall:
    host_inbound: allow
    host_allow: [ssh, ping, 443/tcp, 8000-8010/udp, iface:virbr0]
ingress:
  enabled: false
  stop_timeout: 2.5
  http_port: 8080
  https_port: 8443
  trusted_proxies: [192.0.2.0/24, 2001:db8::/32]
  access_log: /var/log/volt/access.log
  acme:
    directory: https://localhost:14000/dir
    email: ops@example.com
    ca_bundle: /etc/ssl/pebble.pem
    eab: {kid: one, hmac_key: c2VjcmV0}
  health: {interval: 1, timeout: 0.5, rise: 2, fall: 3}
status: {listen: "[::1]:9000"}
"""


def mistakes_in(text: str | bytes) -> tuple[str, ...]:
    data = text.encode() if isinstance(text, str) else text
    with pytest.raises(ConfigError) as raised:
        parse(data)
    return raised.value.mistakes


def outcome(data: bytes) -> tuple[str, ...]:
    """The mistakes in `data`; none if it is a configuration. Lets every other error through."""
    try:
        parse(data)
    except ConfigError as error:
        return error.mistakes or ("config.yaml: refused without a reason \0",)
    return ()


def nested(path: str, value: str) -> str:
    """A file with `value` at the dotted `path` and nothing else."""
    *sections, key = path.split(".")
    return (
        "".join(f"{section}: {{" for section in sections) + f"{key}: {value}" + "}" * len(sections)
    )


def test_an_absent_file_means_the_defaults(tmp_path: Path) -> None:
    """A fresh host needs no configuration file."""
    assert load(tmp_path / "config.yaml") == Config()


def test_an_absent_file_that_was_named_is_a_mistake(tmp_path: Path) -> None:
    """`--config` with a typo is not silently the defaults."""
    with pytest.raises(ConfigError, match=r"other\.yaml: cannot be read: No such file"):
        load(tmp_path / "other.yaml", required=True)


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n", "network:\n", HANDBOOK])
def test_defaults(text: str) -> None:
    """Empty files, empty sections and the handbook's example all mean the defaults."""
    assert parse(text.encode()) == Config()


def test_defaults_are_those_of_the_handbook() -> None:
    """Users rely on the defaults: they are spelled out here once more."""
    config = Config()
    assert config.network.default_bridge == "volt0"
    assert config.network.default_subnet == IPv4Network("10.0.0.0/24")
    assert config.network.auto_connect == ("machined",)
    assert list(map(str, config.network.dns.upstream)) == ["1.1.1.1:53", "8.8.8.8:53"]
    assert config.network.firewall.host_inbound == "deny"
    assert config.network.firewall.host_allow == HostAllow(ssh=True)
    assert config.network.dhcp.lease_time == 3600
    assert (config.ingress.http_port, config.ingress.https_port) == (80, 443)
    assert config.ingress.acme.directory == "https://acme-v02.api.letsencrypt.org/directory"
    assert str(config.status.listen) == "127.0.0.1:9320"


def test_every_key_can_be_set() -> None:
    """All of the schema, each value read into what the agent works with."""
    config = parse(EVERYTHING.encode())
    network, ingress = config.network, config.ingress
    assert network.default_bridge == "br0"
    assert network.default_subnet == IPv4Network("172.20.0.0/16")
    assert network.auto_connect == ("machined", "netns")
    assert network.mtu == 9000
    assert network.dns.upstream == (
        Upstream(IPv6Address("2606:4700::1111"), 5353),
        Upstream(IPv4Address("127.0.0.53")),
    )
    assert network.dns.search_domains == ("a.b",)
    assert network.firewall.host_allow == HostAllow(
        ssh=True,
        ping=True,
        ports=(HostPort("tcp", 443, 443), HostPort("udp", 8000, 8010)),
        interfaces=("virbr0",),
    )
    assert [network.dns.enabled, network.dhcp.enabled, ingress.enabled] == [False] * 3
    assert ingress.stop_timeout == 2.5
    assert ingress.access_log == "/var/log/volt/access.log"
    assert ingress.trusted_proxies == (IPv4Network("192.0.2.0/24"), IPv6Network("2001:db8::/32"))
    assert ingress.acme.eab == Eab(kid="one", hmac_key="c2VjcmV0")
    assert ingress.health.interval == 1.0
    assert config.status.listen == Listen("::1", 9000)


def test_the_staging_ca_is_one_switch() -> None:
    """It stands for a directory, and contradicts any other one."""
    assert parse(b"ingress: {acme: {staging: true}}").ingress.acme.url == LETS_ENCRYPT_STAGING
    assert parse(b"").ingress.acme.url == LETS_ENCRYPT
    both = "ingress: {acme: {staging: true, directory: 'https://localhost:14000/dir'}}"
    (mistake,) = mistakes_in(both)
    assert mistake.startswith("config.yaml: ingress.acme.staging: expected false beside ")


@pytest.mark.parametrize(("text", "listen"), [("", None), ("''", None), ("null", None)])
def test_no_status_listener(text: str, listen: None) -> None:
    """An empty `status.listen` switches it off."""
    assert parse(f"status: {{listen: {text}}}".encode()).status.listen is listen


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("network.mtu", "575"),
        ("network.mtu", "65536"),
        ("network.mtu", "1500.0"),
        ("network.mtu", "'1500'"),
        ("network.mtu", "1_500"),
        ("network.mtu", "010000"),
        ("network.mtu", "22:22"),
        ("network.mtu", "true"),
        ("network.mtu", "[1500]"),
        ("network.mtu", ""),
        ("network.mtu", "9" * 5000),
        ("network.default_bridge", "volt-backend"),
        ("network.default_bridge", "vc-web"),
        ("network.default_bridge", "lo"),
        ("network.default_bridge", "Volt0"),
        ("network.default_bridge", "sixteen-letters0"),
        ("network.default_bridge", "../x"),
        ("network.default_bridge", "0"),
        ("network.default_subnet", "10.0.0.1/24"),
        ("network.default_subnet", "10.0.0.0"),
        ("network.default_subnet", "10.0.0.0/31"),
        ("network.default_subnet", "10.0.0.0/7"),
        ("network.default_subnet", "0.0.0.0/0"),
        ("network.default_subnet", "127.0.0.0/8"),
        ("network.default_subnet", "224.0.0.0/8"),
        ("network.default_subnet", "fd00::/64"),
        ("network.default_subnet", "10.0.0.0/255.255.255.256"),
        ("network.auto_connect", "machined"),
        ("network.auto_connect[0]", "docker"),
        ("network.dns.enabled", "yes"),
        ("network.dns.enabled", "on"),
        ("network.dns.enabled", "1"),
        ("network.dns.upstream[0]", "dns.example.com"),
        ("network.dns.upstream[0]", "dns.example.com:53"),
        ("network.dns.upstream[0]", "1.1.1.1:0"),
        ("network.dns.upstream[0]", "1.1.1.1:65536"),
        ("network.dns.upstream[0]", "'[1.1.1.1]:53'"),
        ("network.dns.upstream[0]", "'[::1]'"),
        ("network.dns.upstream[0]", "'fe80::1%a b'"),
        ("network.dns.upstream[0]", "0.0.0.0"),
        ("network.dns.upstream[0]", "255.255.255.255"),
        ("network.dns.upstream[0]", "ff02::fb"),
        ("network.dns.upstream[0]", "10.0.0.1"),
        ("network.dns.upstream[0]", "1.1"),
        ("network.dns.search_domains[0]", "a_b"),
        ("network.dns.search_domains[0]", "''"),
        ("network.dns.search_domains[0]", "a..b"),
        ("network.dns.search_domains[0]", "a" * 64),
        ("network.dns.search_domains[0]", ".".join(["a" * 60] * 5)),
        ("network.dns.search_domains", "[a, b, c, d, e, f, g]"),
        ("network.dhcp.lease_time", "0"),
        ("network.dhcp.lease_time", "1h"),
        ("network.firewall.host_inbound", "drop"),
        ("network.firewall.host_inbound", "no"),
        ("network.firewall.host_allow[0]", "443"),
        ("network.firewall.host_allow[0]", "22:22"),
        ("network.firewall.host_allow[0]", "0/tcp"),
        ("network.firewall.host_allow[0]", "70000/tcp"),
        ("network.firewall.host_allow[0]", "8010-8000/tcp"),
        ("network.firewall.host_allow[0]", "80/sctp"),
        ("network.firewall.host_allow[0]", "http"),
        ("network.firewall.host_allow[0]", "'iface:'"),
        ("network.firewall.host_allow[0]", "iface:sixteen_letters_"),
        ("network.firewall.host_allow[0]", "'iface:a b'"),
        ("network.firewall.host_allow[0]", "iface:.."),
        ("network.firewall.host_allow[0]", "{ssh: true}"),
        ("ingress.stop_timeout", "-1"),
        ("ingress.stop_timeout", ".inf"),
        ("ingress.stop_timeout", "5s"),
        ("ingress.http_port", "0"),
        ("ingress.https_port", "80"),
        ("ingress.trusted_proxies[0]", "192.0.2.1/24"),
        ("ingress.trusted_proxies[0]", "'fe80::1%eth0'"),
        ("ingress.trusted_proxies[0]", "example.com"),
        ("ingress.access_log", "true"),
        ("ingress.access_log", "stdout"),
        ("ingress.access_log", "access.log"),
        ("ingress.acme.directory", "http://example.com/dir"),
        ("ingress.acme.directory", "https://user:word@example.com/"),
        ("ingress.acme.directory", "https://"),
        ("ingress.acme.directory", "'https://[::1/'"),
        ("ingress.acme.directory", "'https://a b/'"),
        ("ingress.acme.email", "nobody"),
        ("ingress.acme.ca_bundle", "pebble.pem"),
        ("ingress.acme.eab", "one"),
        ("ingress.acme.eab.kid", "''"),
        ("ingress.acme.eab.hmac_key", "'not base64url'"),
        ("ingress.acme.eab.hmac_key", "c2Vjc"),
        ("ingress.acme.staging", "yes"),
        ("ingress.health.interval", "0"),
        ("ingress.health.rise", "1.5"),
        ("status.listen", "9320"),
        ("status.listen", "example.com:9320"),
        ("status.listen", "127.0.0.1"),
        ("status.listen", "127.0.0.1:0"),
        ("status", "127.0.0.1:9320"),
        ("network", "[]"),
    ],
)
def test_values_that_are_refused(path: str, value: str) -> None:
    """A wrong value is named by its path, with what was expected and what is there."""
    key, is_item, _ = path.partition("[")
    text = nested(key, f"[{value}]" if is_item else value)
    first, *rest = mistakes_in(text)
    assert first.startswith(f"config.yaml: {path}: expected ")
    assert ", got " in first
    assert not rest or path.startswith("ingress.acme.eab")


@pytest.mark.parametrize("items", ["[ssh, ping, ssh]", "[443/tcp, 443-443/tcp]"])
def test_an_item_twice_in_a_list(items: str) -> None:
    """The second of two equal items is named."""
    (mistake,) = mistakes_in(nested("network.firewall.host_allow", items))
    assert "expected each item once, got " in mistake


def test_all_mistakes_at_once() -> None:
    """Nobody has to correct a file mistake by mistake."""
    text = (
        "network:\n  mtu: big\n  mtuu: 1\n  dns: {upstream: [x, 1.1.1.1, y]}\nstatus: {listen: 1}\n"
    )
    assert [each.split(": ")[1] for each in mistakes_in(text)] == [
        "network.mtu",
        "network.mtuu",
        "network.dns.upstream[0]",
        "network.dns.upstream[2]",
        "status.listen",
    ]


def test_the_error_is_one_of_use() -> None:
    """It is reported like any wrong input: exit status 2, a line for each mistake."""
    with pytest.raises(Invalid) as raised:
        parse(b"network: {mtu: 1}\nstatus: 2")
    assert raised.value.exit_status == 2
    first, second = raised.value.message.splitlines()
    assert "network.mtu" in first
    assert "status" in second


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("network: {mtuu: 1}", "did you mean mtu?"),
        ("netwrok: {}", "did you mean network?"),
        ("mtu: 1400", "did you mean network.mtu?"),
        ("network: {upstream: [1.1.1.1]}", "did you mean network.dns.upstream?"),
        ("status: {xyzzy: 1}", "expected one of listen"),
        ("status: {~: 1}", "unknown key"),
        ("1: 1", "unknown key"),
    ],
)
def test_unknown_keys(text: str, suggestion: str) -> None:
    """A key that does not exist is refused, with the one that was probably meant."""
    (mistake,) = mistakes_in(text)
    assert "unknown key" in mistake
    assert suggestion in mistake


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "network:\n  mtu: 1400\n  mtu: 1500\n",
            "network.mtu: expected once, got it again on line 3",
        ),
        ("status: {}\nstatus: {}\n", "status: expected once, got it again on line 2"),
        ("network: [", "line 2: while parsing a flow node"),
        ("network:\n\tmtu: 1\n", "line 2: a tab where"),
        ("network:\n  mtu:\t\n\t 1500\n", "line 3: a tab where"),
        ("network: @home", "line 1: text that begins with '@' needs quotes"),
        ("a: b: c", "line 1: mapping values are not allowed"),
        ("- network", "expected a mapping of keys, got a list"),
        ("network", "expected a mapping of keys, got text"),
        ("7", "expected a mapping of keys, got a number"),
        ("{}\n---\n{}\n", "line 2: a second document starts"),
        ("a: &a [1]\nb: *a\n", "line 2: aliases (*a) are not supported"),
        ("a: &a [*a]\n", "line 1: aliases (*a) are not supported"),
        ("a: !!python/object:os.system x", "line 1: tags (tag:yaml.org,2002:python/object:os.s"),
        ("? [a]\n: 1\n", "line 1: expected a key"),
        ("[" * 60_000, "line 1: nested more than"),
        ("- " * 30_000, "line 1: nested more than"),
        ("# fine\nx: \x07\n", "line 2: control characters are not allowed"),
        (b"# fine\nx: \xff\n", "line 2: not UTF-8"),
        (b"#" * (FILE_MAX + 1), f"longer than {FILE_MAX} bytes"),
    ],
)
def test_files_that_are_refused_as_a_whole(text: str | bytes, problem: str) -> None:
    """What is not the YAML of a configuration is named with its line, and never expanded."""
    (mistake,) = mistakes_in(text)
    assert mistake.startswith("config.yaml: " + problem)


def test_a_file_of_aliases_is_refused_at_once() -> None:
    """Nine lines that would expand to a gigabyte (billion laughs) cost nothing."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    assert mistakes_in("\n".join(lines)) == (
        "config.yaml: line 2: aliases (*a0) are not supported",
    )


def test_thousands_of_mistakes_are_counted() -> None:
    """A file that is something else altogether does not fill the screen."""
    mistakes = mistakes_in("\n".join(f"key{n}: 1" for n in range(5000)))
    assert len(mistakes) == MISTAKES_MAX + 1
    assert mistakes[-1] == "config.yaml: and 4950 more mistakes"


def test_mistakes_cannot_forge_lines() -> None:
    """Keys and values with control characters stay on their line, and long ones are cut."""
    (mistake,) = mistakes_in('"a\\nerror: b\\e[1m": 1')
    assert mistake.isprintable()
    (mistake,) = mistakes_in(nested("network.mtu", "x" * 10_000))
    assert len(mistake) < 200


@pytest.mark.parametrize(
    "text",
    [
        "ingress: {acme: {eab: {kid: a, hmac_key: 's3cret word'}}}",
        "ingress: {acme: {eab: s3cret}}",
        "ingress: {acme: {eab: {hmac_key: [s3cret]}}}",
    ],
)
def test_a_secret_is_never_shown(text: str) -> None:
    """The key of the external account binding appears in no message, right or wrong."""
    assert "s3cret" not in "".join(mistakes_in(text))
    assert "s3cret" not in repr(parse(b"ingress: {acme: {eab: {kid: a, hmac_key: s3cret}}}"))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """Directories, FIFOs and paths through files are errors, and nothing waits for them."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").touch()
    for name, reason in [(".", "irectory"), ("fifo", "not a regular"), ("file/x", "Not a dir")]:
        with pytest.raises(ConfigError, match=f"cannot be read: .*{reason}"):
            load(tmp_path / name)


def test_a_file_is_read_and_named(tmp_path: Path) -> None:
    """Mistakes carry the name of the file they are in."""
    file = tmp_path / "volt.yaml"
    file.write_bytes(b"\xef\xbb\xbfnetwork: {mtu: 1400}\n")  # a byte order mark is no mistake
    assert load(file).network.mtu == 1400
    file.write_text("network: {mtu: 1}\n")
    with pytest.raises(ConfigError, match=r"^volt\.yaml: network\.mtu: "):
        load(file)


@given(st.binary(max_size=300))
@example(b"%YAML 9.9\n---\na: 1")
@example(b'"\\uD800": 1')
@example(b"\x00")
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Whatever a file holds, the outcome is a configuration or printable mistakes."""
    assert all(each.isprintable() for each in outcome(data))


_KEYS = sorted({path.rpartition(".")[2] for path in all_paths(Config)})
_SCALARS = st.sampled_from(
    ["1", "true", "x", "''", "~", "1.5", "10.0.0.0/8", "1.1.1.1:53", "a b", "'\\u0000'", "0x1f"]
)
_TREES = st.recursive(
    _SCALARS,
    lambda below: st.one_of(
        st.lists(below, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.lists(st.tuples(st.sampled_from(_KEYS), below), max_size=4).map(
            lambda items: "{" + ", ".join(f"{key}: {value}" for key, value in items) + "}"
        ),
    ),
    max_leaves=20,
)


@given(_TREES)
def test_any_shape_is_read_or_refused(text: str) -> None:
    """Known keys on any level with values of any kind never lead to another error."""
    assert all(each.startswith("config.yaml: ") for each in outcome(text.encode()))


@pytest.mark.parametrize(("written", "read"), [("off", None), ("stderr", "stderr")])
def test_the_access_log_is_off_or_somewhere(written: str, read: str | None) -> None:
    """`off` is a word like others here, no boolean."""
    assert parse(f"ingress: {{access_log: {written}}}".encode()).ingress.access_log == read
