"""What a certificate says of itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.ingress.authority import Authority, rsa_key
from volt_agent.ingress.chain import read_chain
from volt_agent.ingress.pem import load


def test_it_says_what_openssl_says(tmp_path: Path) -> None:
    """Serial and fingerprint can be compared; the key among the PEM blocks is passed over."""
    files = Authority().files(tmp_path, "a.example.com")
    chain = read_chain(load(files).pem)
    asked = ("openssl", "x509", "-noout", "-serial", "-fingerprint", "-sha256")
    told = subprocess.run([*asked, "-in", files.certificate], capture_output=True, text=True)
    serial, fingerprint = (line.partition("=")[2] for line in told.stdout.splitlines())
    assert (chain.serial, chain.fingerprint) == (serial.lower().lstrip("0"), fingerprint)
    assert chain.key == "ECDSA secp256r1"
    assert chain.subjects == (
        "CN=leaf, by CN=Test Intermediate",
        "CN=Test Intermediate, by CN=Test Root",
    )


def test_rsa_keys(tmp_path: Path) -> None:
    """With their length."""
    files = Authority().files(tmp_path, "a.example.com", key=rsa_key())
    assert read_chain(load(files).pem).key == "RSA 2048"
