"""The handbook's ingress, word for word, and what it implies on a host with a firewall."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator

import pytest

from tests.support.host import Host
from tests.support.process import wait_until
from tests.support.web import Web, get

pytestmark = pytest.mark.kernel

ROUTE_KEYS = {"name", "hostname", "path", "backends", "tls", "timeout", "certificate"}


@pytest.fixture(scope="module")
def site() -> Iterator[Host]:
    """The handbook's workloads; web, api and realtime run and answer, static does not run."""
    with Host() as host:
        host.start_agent()
        host.connect("volt0", "web", "api", "realtime")
        servers = Web(host, "serve", "web:8080", "api:3000", "realtime:9000")
        yield host
        servers.stop()


@pytest.fixture(autouse=True)
def no_routes(site: Host) -> Iterator[None]:
    yield
    for each in site.call("ingress.list"):
        site.call("ingress.delete", name=each["name"])


def volt(host: Host, line: str, status: int = 0) -> str:
    """What a command line prints; backslashes join lines, as in a shell."""
    done = host.volt(*shlex.split(line.replace("\\\n", "")), check=False)
    assert done.returncode == status, (line, done.stdout, done.stderr)
    return done.stdout if not status else done.stderr


def test_a_route_by_hostname(site: Host) -> None:
    """From outside, through the firewall that it opens; nothing listens before and after."""
    assert get(site, "app.example.com") == ""
    volt(
        site,
        """ingress create --name web \\
        --hostname app.example.com \\
        --backend web:8080""",
    )
    wait_until(lambda: " 200 " in get(site, "app.example.com"), "web answers")
    answer = get(site, "app.example.com", "/x?y=1")
    assert answer.startswith("HTTP/1.1 200 ")
    assert "\nweb\nGET /x?y=1 HTTP/1.1" in answer.replace("\r", "")
    assert "X-Forwarded-For: 192.0.2.2" in answer
    assert " 404 " in get(site, "other.example.com")
    volt(site, "ingress delete --name web")
    assert get(site, "app.example.com") == ""


def test_a_path_prefix(site: Host) -> None:
    """On segment borders, passed on whole."""
    volt(
        site,
        """ingress create --name api \\
        --hostname api.example.com \\
        --path /v1 \\
        --backend api:3000""",
    )
    wait_until(lambda: " 200 " in get(site, "api.example.com", "/v1"), "api answers")
    assert "GET /v1/users HTTP/1.1" in get(site, "api.example.com", "/v1/users")
    assert " 404 " in get(site, "api.example.com", "/v10")


def test_automatic_certificates_are_asked_for(site: Host) -> None:
    """Stored and shown as on their way, or why not; plain requests are sent to https."""
    volt(
        site,
        """ingress create --name secure-web \\
        --hostname app.example.com \\
        --backend web:8080 \\
        --tls auto""",
    )
    (route,) = site.volt_json("ingress", "list")
    assert set(route) >= ROUTE_KEYS
    assert route["tls"] == "auto"
    assert route["certificate"].split(":")[0] in ("issuing", "failed"), "there is no CA"
    answer = get(site, "app.example.com", "/x")
    assert answer.startswith("HTTP/1.1 308 ")
    assert "Location: https://app.example.com/x" in answer
    listeners = site.volt_json("ingress", "status")["listeners"]
    assert [each["state"] for each in listeners] == ["listening", "listening"]


def test_timeout_reload_list_status(site: Host) -> None:
    """The handbook's remaining commands; a list shows what it says."""
    volt(
        site,
        """ingress create --name api --hostname api.example.com \\
        --backend api:3000 --timeout 60""",
    )
    volt(site, "ingress create --name ws --hostname ws.example.com --backend realtime:9000")
    volt(site, "ingress reload")
    wait_until(lambda: "unhealthy" not in volt(site, "ingress list"), "all are healthy")
    lines = [line.split() for line in volt(site, "ingress list").splitlines()]
    assert lines[0] == ["NAME", "HOSTNAME", "PATH", "BACKENDS", "TLS", "STATUS", "CERTIFICATE"]
    assert lines[1][:5] == ["api", "api.example.com", "/", "api:3000", "off"]
    listed = site.volt_json("ingress", "list")
    assert listed[0]["timeout"] == 60
    assert listed[0]["backends"][0]["address"] == "api:3000"
    assert " 200 " in get(site, "api.example.com")
    figures = site.volt_json("ingress", "status")
    (api, _ws) = figures["routes"]
    assert (api["name"], api["requests"], api["errors"]) == ("api", 1, 0)
    assert api["p50_ms"] > 0
    assert "ws" in volt(site, "ingress status")
    assert 'volt_ingress_requests_total{route="api",code="2xx"} 1' in site.get("/metrics")[1]
    volt(site, "ingress delete --name ws")
    assert volt(site, "ingress list -q").split() == ["api"]


def test_a_workload_that_does_not_run_yet(site: Host) -> None:
    """Accepted as pending; 503 until it runs; then it answers, and no more once it has stopped."""
    told = volt(site, "ingress create --name late --hostname late.example.com --backend late:80")
    assert "late:80: pending (no such workload yet)" in told
    answer = get(site, "late.example.com")
    assert answer.startswith("HTTP/1.1 503 ")
    assert "Retry-After" in answer
    site.connect("volt0", "late")
    servers = Web(site, "serve", "late:80")
    wait_until(lambda: " 200 " in get(site, "late.example.com"), "late answers")
    site.remove_workload("late")
    wait_until(lambda: " 503 " in get(site, "late.example.com"), "late is out")
    servers.stop()


def test_an_isolated_workload_is_reached(site: Host) -> None:
    """A policy isolates it from other workloads, not from the ingress."""
    volt(site, "net policy create --name p --from api --to web --port 1 --action allow")
    volt(site, "ingress create --name web --hostname app.example.com --backend web:8080")
    wait_until(lambda: " 200 " in get(site, "app.example.com"), "web answers")
    volt(site, "net policy delete p")


def test_ports_have_one_owner(site: Host) -> None:
    """Of a forward and the ingress the later is refused, with the owner named."""
    volt(site, "net port add --host-port 80 --target web --target-port 8080")
    line = "ingress create --name web --hostname app.example.com --backend web:8080"
    assert "*:80/tcp -> web:8080" in volt(site, line, status=1)
    volt(site, "net port delete --host-port 80")
    volt(site, line)
    forward = "net port add --host-port 80 --target web --target-port 8080"
    assert "the ingress" in volt(site, forward, status=1)


def test_a_busy_port_is_named_and_retried(site: Host) -> None:
    """The route is stored; command, status and problems say who has the port."""
    site.traffic.serve("host", tcp=[80])
    line = "ingress create --name web --hostname app.example.com --backend web:8080"
    assert "listens on 0.0.0.0:80" in volt(site, line)
    (door, _https) = site.volt_json("ingress", "status")["listeners"]
    assert (door["state"], "0.0.0.0:80" in door["reason"]) == ("busy", True)
    assert any("port 80" in each for each in site.volt_json("status")["problems"])
    site.do("leave", where="host")
    wait_until(lambda: " 200 " in get(site, "app.example.com"), "the port is had")


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        ("--backend web", 2, "no port"),
        ("--backend web:0", 2, "not a port"),
        ("--backend Web_1:80", 2, "neither a workload nor a host"),
        ("--backend web:80 --path v1", 2, "begins with a slash"),
        ("--backend web:80 --hostname a_.b-:80", 2, "not a host name"),
        ("--backend web:80 --tls manual", 2, "needs --cert"),
        ("--backend web:80 --tls sometimes", 2, "expected off, auto"),
        ("--backend web:80 --hostname taken.example.com", 1, "taken by route first"),
        ("--backend web:80 --timeout 0", 2, "out of range"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    site: Host, options: str, status: int, words: str
) -> None:
    """With what is wrong; nothing is stored."""
    site.call("ingress.create", name="first", hostname="taken.example.com", backends=["web:8080"])
    said = volt(site, f"ingress create --name bad {options}", status=status)
    assert words in said, said
    assert said.startswith("error: ")
    assert len(said.splitlines()) <= 2
    assert [each["name"] for each in site.call("ingress.list")] == ["first"]


def test_a_repeated_create_changes_nothing(site: Host) -> None:
    """And a different one of that name is refused; the names are completed."""
    line = "ingress create --name web --hostname app.example.com --backend web:8080"
    assert "created" in volt(site, line)
    assert "unchanged" in volt(site, line)
    volt(site, line.replace("8080", "8081"), status=1)
    asked = {"COMP_WORDS": "volt ingress delete ", "COMP_CWORD": "3"}
    asked["_VOLT_COMPLETE"] = "complete_bash"
    assert site.volt(environment=asked).stdout.split() == ["web"]


def test_the_configuration_is_reloaded(site: Host) -> None:
    """Other ports are listened on, and the firewall follows; an access log is on or off."""
    site.call("ingress.create", name="web", hostname="app.example.com", backends=["web:8080"])
    config = site.path("/run/host/config.yaml")
    config.write_text("ingress: {http_port: 8080}\n")
    assert "ingress.http_port" in volt(site, "agent reload")
    assert " 200 " in get(site, "app.example.com", port=8080)
    assert get(site, "app.example.com", port=80) == ""
    config.write_text("ingress: {access_log: /run/host/access.log}\n")
    volt(site, "agent reload")
    assert " 200 " in get(site, "app.example.com", "/logged", port=80)
    config.write_text("")
    volt(site, "agent reload")
    assert " 200 " in get(site, "app.example.com", "/silent", port=80)
    (line,) = site.path("/run/host/access.log").read_text().splitlines()
    assert json.loads(line)["path"] == "/logged"


def test_an_ingress_that_is_off_says_so(site: Host) -> None:
    """When a route is made, in its status and in the agent's."""
    site.path("/run/host/config.yaml").write_text("ingress: {enabled: false}\n")
    volt(site, "agent reload")
    said = volt(site, "ingress create --name web --hostname app.example.com --backend web:8080")
    assert "warning: ingress: switched off (ingress.enabled is false)" in said
    assert "ingress.enabled is false" in volt(site, "ingress status")
    assert "ingress.enabled is false" in volt(site, "status")
