"""The certificates of the ingress."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from ..method import Method, Nothing, Params

CertificateState = Literal["issuing", "valid", "failed"]


class HostName(Params, frozen=True):
    """Whose certificate."""

    host: str


class RenewCertificates(Params, frozen=True):
    """Order anew: the certificate of `host`, or every automatic one. `force`: also one that is
    fresh, and before the time that the last failure left to wait is over."""

    host: str | None = None
    force: bool = False


class Certificate(Struct, frozen=True, kw_only=True):
    """The certificate for a host name. Times are RFC 3339, UTC.

    `tls` is the mode of its routes: "auto" by ACME, "manual" from files of the user. `status` says
    the state in words, as `ingress list` does. "failed" with `not_after`: the former certificate
    goes on to be used. `attempts` is how many orders failed one after the other, `next_try` when
    volt tries again, `renew_at` when it will replace a certificate that is well. `warnings` are
    things to know. `serial` is hexadecimal.
    """

    host: str
    tls: Literal["auto", "manual"]
    routes: list[str]
    state: CertificateState
    status: str
    not_after: str | None = None
    renew_at: str | None = None
    reason: str | None = None
    next_try: str | None = None
    attempts: int = 0
    warnings: list[str] = []
    issuer: str | None = None
    serial: str | None = None


class CertificateDetail(Certificate, frozen=True, kw_only=True):
    """What `ingress cert inspect` shows besides. `names` are those that it is for, `chain` the
    subjects from the leaf on; `directory` is the CA's."""

    names: list[str] = []
    not_before: str | None = None
    key: str | None = None
    fingerprint: str | None = None
    chain: list[str] = []
    certificate_file: str | None = None
    key_file: str | None = None
    directory: str | None = None


LIST = Method("ingress.cert.list", Nothing, list[Certificate], "List the certificates")
INSPECT = Method("ingress.cert.inspect", HostName, CertificateDetail, "Show one certificate")
RENEW = Method(
    "ingress.cert.renew",
    RenewCertificates,
    list[Certificate],
    "Order automatic certificates anew",
    changes=True,
)

METHODS = (LIST, INSPECT, RENEW)
