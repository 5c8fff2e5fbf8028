"""What can be agreed upon with the ingress: every version, suite and curve that OpenSSL knows is
offered to it alone. Mozilla's intermediate profile is the most that it may accept."""

from __future__ import annotations

import ssl
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ingress.authority import rsa_key
from tests.ingress.bench import answers
from tests.ingress.tls_bench import AUTHORITY, TlsBench, tls_bench
from volt_agent.ingress.tls import load_usable

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
OLD = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)
SUITES = {
    "ECDHE-{}-AES128-GCM-SHA256",
    "ECDHE-{}-AES256-GCM-SHA384",
    "ECDHE-{}-CHACHA20-POLY1305",
}
CURVES = {"X25519", "prime256v1", "secp384r1"}


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsBench]:
    """One host with a certificate of each kind."""
    directory: Path = tmp_path_factory.mktemp("certificates")
    with tls_bench(answers(OK), names=("ecdsa.example",)) as made:
        made.usable[b"rsa.example"] = load_usable(
            AUTHORITY.files(directory, "rsa.example", key=rsa_key(), stem="rsa")
        )
        yield made


def client_for(
    version: ssl.TLSVersion, suite: str = "ALL:@SECLEVEL=0", curve: str | None = None
) -> ssl.SSLContext:
    """A client that would do anything, but only that."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    context.set_ciphers(suite)
    if curve is not None:
        context.set_ecdh_curve(curve)
    return context


def agreed(tls: TlsBench, name: str, context: ssl.SSLContext) -> str | None:
    """The suite of a handshake, None if it was refused."""
    try:
        client = tls.client(name, context)
    except (ssl.SSLError, ConnectionError):
        return None
    assert isinstance(client.sock, ssl.SSLSocket)
    cipher = client.sock.cipher()
    client.close()
    assert cipher is not None
    return cipher[0]


def test_old_versions_are_refused(tls: TlsBench) -> None:
    """TLS 1.0 and 1.1 by clients that would take any suite."""
    for version in OLD:
        assert agreed(tls, "rsa.example", client_for(version)) is None


@pytest.mark.parametrize("kind", ["ECDSA", "RSA"])
def test_only_suites_of_the_profile_are_accepted(tls: TlsBench, kind: str) -> None:
    """All others that OpenSSL has, without encryption or authentication too, are refused."""
    version = ssl.TLSVersion.TLSv1_2
    every = {
        each["name"]
        for each in client_for(version, "ALL:COMPLEMENTOFALL:@SECLEVEL=0").get_ciphers()
        if each["protocol"] != "TLSv1.3"
    }
    assert len(every) > 60
    name = f"{kind.lower()}.example"
    accepted = {
        each for each in every if agreed(tls, name, client_for(version, f"{each}:@SECLEVEL=0"))
    }
    assert accepted == {each.format(kind) for each in SUITES}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_only_curves_of_the_profile_are_accepted(tls: TlsBench, version: ssl.TLSVersion) -> None:
    """X448 and P-521 are in OpenSSL's own list."""
    every = CURVES | {"X448", "secp521r1", "secp256k1", "secp224r1", "brainpoolP256r1"}
    accepted = {
        each for each in every if agreed(tls, "rsa.example", client_for(version, curve=each))
    }
    assert accepted == CURVES


def test_the_client_chooses_the_suite(tls: TlsBench) -> None:
    """It knows what its hardware is good at."""
    for first, second in (("CHACHA20-POLY1305", "AES256-GCM-SHA384"), ("AES256-GCM-SHA384",) * 2):
        order = f"ECDHE-RSA-{first}:ECDHE-RSA-{second}"
        context = client_for(ssl.TLSVersion.TLSv1_2, order)
        assert agreed(tls, "rsa.example", context) == f"ECDHE-RSA-{first}"


def talk(tls: TlsBench, *options: str, said: str) -> str:
    """What openssl s_client shows of a connection on which it says something."""
    done = subprocess.run(
        [
            "openssl", "s_client", "-connect", f"127.0.0.1:{tls.address[1]}",
            "-servername", "rsa.example", *options,
        ],
        input=said, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


def test_renegotiation_compression_and_early_data_are_off(tls: TlsBench, tmp_path: Path) -> None:
    """As openssl s_client sees it: "R" asks for a renegotiation."""
    shown = talk(tls, "-tls1_2", said="R\n")
    assert "RENEGOTIATING" in shown
    assert "no renegotiation" in shown
    assert "Secure Renegotiation IS supported" in shown
    assert "Compression: NONE" in shown
    session = tmp_path / "session"
    request = "GET / HTTP/1.1\r\nHost: rsa.example\r\nConnection: close\r\n\r\n"
    shown = talk(tls, "-tls1_3", "-ign_eof", "-sess_out", str(session), said=request)
    assert "Max Early Data: 0" in shown
    assert session.exists()
