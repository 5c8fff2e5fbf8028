"""What a certificate says of itself, for those who look at it. Imported only then: see `pem`."""

from __future__ import annotations

from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from msgspec import Struct


class Chain(Struct, frozen=True):
    """A leaf, and who issued it. `serial` in hexadecimal, as `openssl x509 -serial` shows it;
    `fingerprint` is SHA-256; `subjects` are distinguished names (RFC 4514) from the leaf on."""

    serial: str
    fingerprint: str
    key: str
    not_before: datetime
    subjects: tuple[str, ...]


def read_chain(pem: bytes) -> Chain:
    """Of the certificates in `pem`, leaf first; other blocks are passed over. A few ms."""
    chain = x509.load_pem_x509_certificates(pem)
    leaf = chain[0]
    return Chain(
        serial=f"{leaf.serial_number:x}",
        fingerprint=leaf.fingerprint(hashes.SHA256()).hex(":").upper(),
        key=_key(leaf),
        not_before=leaf.not_valid_before_utc,
        subjects=tuple(map(_subject, chain)),
    )


def _key(leaf: x509.Certificate) -> str:
    key = leaf.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"ECDSA {key.curve.name}"
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    return type(key).__name__.removesuffix("PublicKey")


def _subject(certificate: x509.Certificate) -> str:
    """The leaf of today's CAs has none: its names are in subjectAltName."""
    issuer = certificate.issuer.rfc4514_string()
    return f"{certificate.subject.rfc4514_string() or '(no subject)'}, by {issuer}"
