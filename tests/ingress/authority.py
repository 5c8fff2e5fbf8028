"""An authority that issues certificates for tests: root, intermediate, leaves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from volt_agent.ingress.certificate import Files

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
NOW = datetime.now(UTC)
_DAY = timedelta(days=1)
_SERVER = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])


@cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """One for the whole run: making it takes long."""
    return rsa.generate_private_key(65537, bits)


class Authority:
    """A root, and an intermediate that signs."""

    def __init__(self) -> None:
        self._root_key = ec.generate_private_key(ec.SECP256R1())
        self.root = _sign("Test Root", self._root_key, None, self._root_key, _ca(None))
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.intermediate = _sign("Test Intermediate", self._key, self.root, self._root_key, _ca(0))

    def issue(
        self,
        *names: str,
        key: PrivateKey | None = None,
        begins: datetime = NOW - _DAY,
        ends: datetime = NOW + 90 * _DAY,
        common_name: str = "leaf",
    ) -> tuple[x509.Certificate, PrivateKey]:
        """A certificate for `names`; without names it has no subjectAltName."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        extensions: list[x509.ExtensionType] = [_SERVER]
        if names:
            extensions.append(x509.SubjectAlternativeName([_name(each) for each in names]))
        leaf = _sign(common_name, key, self.intermediate, self._key, extensions, begins, ends)
        return leaf, key

    def files(self, directory: Path, *names: str, stem: str = "cert", **options: Any) -> Files:
        """The same as a pair of files, with the chain."""
        leaf, key = self.issue(*names, **options)
        return write(directory, [leaf, self.intermediate], key, stem)


def write(
    directory: Path, chain: Sequence[x509.Certificate], key: PrivateKey, stem: str = "cert"
) -> Files:
    """A certificate and a key that only root can read."""
    certificate, private_key = directory / f"{stem}.pem", directory / f"{stem}.key"
    certificate.write_bytes(pem_of(chain))
    private_key.write_bytes(key_pem(key))
    private_key.chmod(0o600)
    return Files(str(certificate), str(private_key))


def pem_of(chain: Sequence[x509.Certificate]) -> bytes:
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in chain)


def key_pem(key: PrivateKey, pass_phrase: bytes | None = None) -> bytes:
    protection: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if pass_phrase is not None:
        protection = serialization.BestAvailableEncryption(pass_phrase)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, protection
    )


def _sign(
    name: str,
    key: PrivateKey,
    issuer: x509.Certificate | None,
    issuer_key: PrivateKey,
    extensions: Sequence[x509.ExtensionType],
    begins: datetime = NOW - _DAY,
    ends: datetime = NOW + 365 * _DAY,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer is not None else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )
    for each in extensions:
        builder = builder.add_extension(each, critical=isinstance(each, x509.BasicConstraints))
    builder = builder.add_extension(
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
    ).add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
    )
    return builder.sign(issuer_key, hashes.SHA256())


def _ca(length: int | None) -> list[x509.ExtensionType]:
    """What makes an authority, with at most `length` others below it."""
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
         "encipher_only", "decipher_only"), False,
    )  # fmt: skip
    return [
        x509.BasicConstraints(ca=True, path_length=length),
        x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=True, **usage),
    ]


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
