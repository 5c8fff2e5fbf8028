"""The handbook's TLS termination, word for word: manual certificates and passthrough."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import pytest

from tests.support.certificates import write_certificate
from tests.support.host import Host
from tests.support.process import wait_until
from tests.support.web import Web, get, get_tls

pytestmark = pytest.mark.kernel

UNRECOGNIZED_NAME = 35  # curl's status for a handshake that was refused


@pytest.fixture(scope="module")
def site() -> Iterator[Host]:
    """static answers at 80, web at 8080 and with TLS of its own at 443; certificates lie ready."""
    with Host() as host:
        host.start_agent()
        certs = host.path("/etc/certs")
        certs.mkdir()
        write_certificate(certs, "cdn", ["cdn.example.com"])
        write_certificate(certs, "app", ["app.example.com"])
        write_certificate(certs, "old", ["old.example.com"], days=-1)
        host.connect("volt0", "static", "web")
        servers = Web(host, "serve", "static:80", "web:8080", "web:443:/etc/certs/app.both")
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


def test_a_manual_certificate(site: Host) -> None:
    """TLS ends here, plain requests are sent to it, unknown names are refused in the handshake."""
    volt(
        site,
        """ingress create --name cdn \\
        --hostname cdn.example.com \\
        --backend static:80 \\
        --tls manual \\
        --cert /etc/certs/cdn.pem \\
        --key /etc/certs/cdn.key""",
    )
    status, answer = get_tls(site, "cdn.example.com", "/x")
    assert status == 0
    assert "static\nGET /x HTTP/1.1" in answer.replace("\r", "")
    assert "X-Forwarded-Proto: https" in answer
    assert "Location: https://cdn.example.com/y" in get(site, "cdn.example.com", "/y")
    assert get_tls(site, "other.example.com")[0] == UNRECOGNIZED_NAME
    (route,) = site.volt_json("ingress", "list")
    assert route["certificate"].startswith("valid until ")
    assert "1 certificate" in volt(site, "ingress reload")


def test_two_certificates_on_one_port(site: Host) -> None:
    """Chosen by name; a file that is replaced is used after a reload."""
    for name, host in (("cdn", "static:80"), ("app", "web:8080")):
        volt(
            site,
            f"ingress create --name {name} --hostname {name}.example.com --backend {host}"
            f" --tls manual --cert /etc/certs/{name}.pem --key /etc/certs/{name}.key",
        )
    assert "\nstatic\n" in get_tls(site, "cdn.example.com")[1].replace("\r", "")
    assert "\nweb\n" in get_tls(site, "app.example.com")[1].replace("\r", "")
    write_certificate(site.path("/etc/certs"), "cdn", ["cdn.example.com"], days=77)
    volt(site, "ingress reload")
    assert get_tls(site, "cdn.example.com")[0] == 0


def test_passthrough(site: Host) -> None:
    """By the name in the ClientHello; the certificate is the backend's."""
    volt(
        site,
        "ingress create --name web --hostname app.example.com --backend web:443 --tls passthrough",
    )
    status, answer = get_tls(site, "app.example.com", "/x")
    assert status == 0
    assert "web\nGET /x HTTP/1.1" in answer.replace("\r", "")
    assert "X-Forwarded-For" not in answer
    assert get_tls(site, "other.example.com")[0] == UNRECOGNIZED_NAME


def test_automatic_certificates_are_not_there_yet(site: Host) -> None:
    """HTTPS is refused, http redirects."""
    volt(site, "ingress create --name web --hostname app.example.com --backend web:8080 --tls auto")
    assert get_tls(site, "app.example.com")[0] == UNRECOGNIZED_NAME
    wait_until(lambda: " 308 " in get(site, "app.example.com"), "it redirects")


@pytest.mark.parametrize(
    ("host", "cert", "key", "words"),
    [
        ("cdn", "missing.pem", "cdn.key", "missing.pem"),
        ("cdn", "cdn.pem", "missing.key", "missing.key"),
        ("cdn", "cdn.pem", "app.key", "app.key"),
        ("wrong", "cdn.pem", "cdn.key", "wrong.example.com"),
    ],
)
def test_bad_certificates_are_refused(
    site: Host, host: str, cert: str, key: str, words: str
) -> None:
    """In one line that names the file or the name; nothing is stored."""
    said = volt(
        site,
        f"ingress create --name bad --hostname {host}.example.com --backend static:80"
        f" --tls manual --cert /etc/certs/{cert} --key /etc/certs/{key}",
        status=1,
    )
    assert words in said
    assert len(said.splitlines()) <= 2
    assert site.call("ingress.list") == []


def test_an_expired_certificate_is_warned_of(site: Host) -> None:
    """It is used all the same."""
    said = volt(
        site,
        "ingress create --name old --hostname old.example.com --backend static:80"
        " --tls manual --cert /etc/certs/old.pem --key /etc/certs/old.key",
    )
    assert "expired" in said
    assert get_tls(site, "old.example.com")[0] == 0
