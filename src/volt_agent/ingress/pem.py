"""Reading a certificate with its chain and its private key from PEM files, and checking them.

A module of its own because it is imported only where a certificate is read: the library takes a
tenth of a second, and an agent without such routes does without.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from ..errors import Refused
from .certificate import Certificate, Files

_FILE_MAX = 1 << 20
_CHAIN_MAX = 10
_RSA_MIN = 2048  # bits; OpenSSL's security level 2 accepts no fewer
_pem_key = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")


def load(files: Files) -> Certificate:
    """Read and check both files. Blocks for a few ms; raises Refused, naming the file."""
    chain = _read_chain(read_file(files.certificate), files.certificate)
    key = _read_key(read_file(files.private_key), files.private_key)
    return check(chain, key, files)


def check(chain: Sequence[x509.Certificate], key: PrivateKeyTypes, files: Files) -> Certificate:
    """The certificate that they make up. Raises Refused; `files` say whose fault it is."""
    _check_key(key, files.private_key)
    _check_match(chain, key, files)
    _check_order(chain, files.certificate)
    leaf = chain[0]
    alternative = _alternative_names(leaf, files.certificate)
    names = alternative or _common_names(leaf)
    return Certificate(
        names=tuple(each.lower() for each in names),
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
        issuer=leaf.issuer.rfc4514_string(),
        pem=b"".join(each.public_bytes(serialization.Encoding.PEM) for each in chain)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        has_common_name_only=not alternative,
    )


def read_file(path: str) -> bytes:
    """What a PEM file contains. Raises Refused."""
    try:
        # A pipe or a terminal must not make us wait.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        try:
            return _content(fd, path)
        finally:
            os.close(fd)
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}") from None


def _content(fd: int, path: str) -> bytes:
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise Refused(f"{path} is not a regular file")
    if status.st_size > _FILE_MAX:
        raise Refused(f"{path} is larger than any certificate: {status.st_size} bytes")
    with open(fd, "rb", closefd=False) as file:
        return file.read(_FILE_MAX)


def _read_chain(pem: bytes, path: str) -> list[x509.Certificate]:
    if b"-----BEGIN CERTIFICATE-----" not in pem:
        hint = "it looks like a private key" if _pem_key.search(pem) else "PEM is expected"
        raise Refused(f"{path} has no certificate in it", hint)
    if pem.count(b"-----BEGIN CERTIFICATE-----") != pem.count(b"-----END CERTIFICATE-----"):
        raise Refused(f"{path} is incomplete")
    try:
        chain = x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise Refused(f"{path} has a certificate that cannot be read", "is it complete?") from None
    if len(chain) > _CHAIN_MAX:
        raise Refused(f"{path} has {len(chain)} certificates", f"{_CHAIN_MAX} at most make sense")
    return chain


def _read_key(pem: bytes, path: str) -> PrivateKeyTypes:
    begin = _pem_key.search(pem)
    if begin is None:
        raise Refused(f"{path} has no private key in it", "PEM is expected")
    try:
        # Only from there: other blocks, as of EC parameters, may come first.
        return serialization.load_pem_private_key(pem[begin.start() :], None)
    except TypeError:
        raise Refused(
            f"the private key {path} has a pass phrase", "the agent cannot ask for it; remove it"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise Refused(f"the private key {path} cannot be read", "is it complete?") from None


def _check_key(key: PrivateKeyTypes, path: str) -> None:
    if isinstance(key, rsa.RSAPrivateKey):
        if key.key_size < _RSA_MIN:
            raise Refused(f"the private key {path} is too short: {key.key_size} bits")
    elif not isinstance(
        key, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
    ):
        raise Refused(f"the private key {path} is of a kind that TLS cannot use")


def _check_match(chain: Sequence[x509.Certificate], key: PrivateKeyTypes, files: Files) -> None:
    ours = _public_bytes(key.public_key())
    for place, each in enumerate(chain):
        if _public_bytes(each.public_key()) == ours:
            if place:
                raise Refused(
                    f"{files.certificate} has its certificates in the wrong order",
                    "the host's own comes first, then who issued it",
                )
            return
    raise Refused(
        f"the private key {files.private_key} does not belong to {files.certificate}",
        "compare: openssl pkey -pubout and openssl x509 -pubkey",
    )


def _check_order(chain: Sequence[x509.Certificate], path: str) -> None:
    for place, (each, issuer) in enumerate(pairwise(chain), 1):
        try:
            each.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            raise Refused(
                f"{path}: certificate {place + 1} did not issue certificate {place}",
                "the host's own comes first, then who issued it, and so on",
            ) from None


def _public_bytes(key: object) -> bytes | None:
    try:
        return key.public_bytes(  # type: ignore[attr-defined, no-any-return]
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    except AttributeError:
        return None


def _alternative_names(leaf: x509.Certificate, path: str) -> list[str]:
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    except ValueError:
        raise Refused(f"{path} has an extension that cannot be read") from None
    return [
        *found.get_values_for_type(x509.DNSName),
        *map(str, found.get_values_for_type(x509.IPAddress)),
    ]


def _common_names(leaf: x509.Certificate) -> list[str]:
    """What stood for the host before there was subjectAltName (RFC 6125, section 6.4.4)."""
    found = leaf.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return [str(each.value) for each in found]
