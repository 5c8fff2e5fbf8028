"""Preflight: what can be known to go wrong before an order is spent on it. Decisions on facts.

What a CA would certainly refuse blocks: a name that does not exist, CAA records that forbid this CA
(RFC 8659), a port 80 that does not lead to the ingress. What may be meant so is a warning: an
address that is not this host's own (NAT, a cloud, a load balancer), a resolver that fails.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct

from .problem import Kind, Problem

HTTP_PORT = 80  # where CAs ask (RFC 8555, section 8.3)
_ISSUE, _CRITICAL = "issue", 128
_UNDERSTOOD = {"issue", "issuewild", "iodef", "issuemail", "contactemail", "contactphone"}


class Door(Struct, frozen=True):
    """The ingress's port for plain HTTP. `closed` says why nothing reaches it, None if something
    does; that may also be because port 80 of the host is forwarded elsewhere."""

    port: int
    closed: str | None = None


class Caa(Struct, frozen=True):
    """A CAA record (RFC 8659, section 4.1)."""

    flags: int
    tag: str
    value: str


class Names(Struct, frozen=True):
    """What public DNS says of a host. `addresses` None: it did not answer. `caa` are the records
    closest to the name, which are found at `caa_at`; None: it did not answer."""

    exists: bool = True
    addresses: tuple[str, ...] | None = None
    caa: tuple[Caa, ...] | None = ()
    caa_at: str | None = None


def check(host: str, door: Door, names: Names) -> Problem | None:
    """What blocks an order for `host` whoever the CA is."""
    if host.startswith("*"):
        reason = "certificates for wildcards need a DNS challenge, which volt does not have"
        return _blocked("dns", reason)
    if door.closed is not None:
        return _blocked("port", door.closed)
    if not names.exists:
        return _blocked("dns", f"public DNS has no {host}: make a record that leads to this host")
    if names.addresses == ():
        return _blocked("dns", f"public DNS has no address for {host}")
    return None


def check_caa(names: Names, identities: Collection[str], account: str) -> Problem | None:
    """Whether the CA that goes by `identities` may issue to this `account`. A CA that does not say
    how it is called is not held back by the names of others."""
    records = names.caa or ()
    strange = [
        each.tag
        for each in records
        if each.flags & _CRITICAL and each.tag.lower() not in _UNDERSTOOD
    ]
    if strange:
        return _blocked("caa", f"a CAA record of {names.caa_at} demands {strange[0]}")
    issuers = [each.value for each in records if each.tag.lower() == _ISSUE]
    if not issuers or any(_permits(each, identities, account) for each in issuers):
        return None
    who = " or ".join(sorted(identities)) or "any CA"
    allowed = ", ".join(sorted({_issuer(each)[0] for each in issuers} - {""})) or "nobody"
    return _blocked("caa", f"the CAA records of {names.caa_at} let {allowed} issue, not {who}")


def warnings(host: str, door: Door, names: Names, own: Collection[str]) -> tuple[str, ...]:
    """What should be known although it need not stop an order. `own` are those of the addresses
    that this host has."""
    found = []
    if door.port != HTTP_PORT:
        found.append(
            f"CAs ask at port {HTTP_PORT}, the ingress listens at {door.port}: "
            "something has to lead there"
        )
    if names.exists and (names.addresses is None or names.caa is None):
        found.append(f"public DNS does not answer about {host}: it was not checked")
    elsewhere = sorted(set(names.addresses or ()) - set(own))
    if elsewhere:
        found.append(
            f"{host} leads to {', '.join(elsewhere[:3])}, which is no address of this host: "
            "fine behind NAT or a load balancer"
        )
    return tuple(found)


def climb(host: str) -> Sequence[str]:
    """The names at which CAA records of `host` may be, the closest first (RFC 8659, section 3)."""
    labels = host.split(".")
    return [".".join(labels[start:]) for start in range(len(labels))]


def _permits(value: str, identities: Collection[str], account: str) -> bool:
    issuer, parameters = _issuer(value)
    if not issuer or (identities and issuer not in {each.lower() for each in identities}):
        return False
    # RFC 8657.
    methods = parameters.get("validationmethods")
    if methods is not None and "http-01" not in methods.split(","):
        return False
    return parameters.get("accounturi", account) == account


def _issuer(value: str) -> tuple[str, Mapping[str, str]]:
    """`ca.example; name=value` in parts; no name is nobody."""
    name, *rest = (each.strip() for each in value.split(";"))
    pairs = (each.partition("=") for each in rest if each)
    return name.lower().rstrip("."), {key.strip().lower(): text.strip() for key, _, text in pairs}


def _blocked(kind: Kind, reason: str) -> Problem:
    return Problem(kind, reason, is_preflight=True)
