"""A certificate that has been read and checked: what it is for, and what should be known of it.

What would make every client fail is refused by `pem`; what some clients mind, or what is nobody's
fault but time's, is a warning.
"""

from __future__ import annotations

import os
import stat
from datetime import datetime, timedelta

from msgspec import Struct

from ..errors import Refused
from ..model.route import ANY_HOST

_SOON = timedelta(days=14)


class Files(Struct, frozen=True):
    """Paths of PEM files: the certificate with its chain, and its private key."""

    certificate: str
    private_key: str


class Certificate(Struct, frozen=True):
    """A certificate that has been checked. `names` are the hosts that it is for, in lower case,
    wildcards as `*.example.com`; `pem` is its chain, leaf first, with the key."""

    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    issuer: str
    pem: bytes
    has_common_name_only: bool = False

    def covers(self, hostname: str) -> bool:
        """Whether it is good for a route's `hostname` (RFC 9525, section 6.3: a wildcard stands for
        one label). For the default route any is."""
        if hostname == ANY_HOST:
            return True
        parent = "*." + hostname.partition(".")[2]
        return hostname in self.names or parent in self.names

    def __repr__(self) -> str:
        return f"<Certificate for {', '.join(self.names)} [until {self.not_after:%Y-%m-%d}]>"


def check_host(certificate: Certificate, hostname: str, path: str) -> None:
    """Raises Refused if `hostname` is none of those that the certificate (from `path`) is for."""
    if not certificate.covers(hostname):
        names = ", ".join(certificate.names[:5]) or "no host at all"
        raise Refused(
            f"the certificate {path} is not for {hostname}",
            f"it is for {names}{', ...' if len(certificate.names) > 5 else ''}",
        )


def warnings(certificate: Certificate, files: Files, now: datetime) -> list[str]:
    """What should be known about it although it is used. Looks at the key file's permissions."""
    found = []
    path = files.certificate
    if now > certificate.not_after:
        found.append(f"{path} expired on {certificate.not_after:%Y-%m-%d}: clients will refuse it")
    elif now < certificate.not_before:
        found.append(f"{path} is not valid before {certificate.not_before:%Y-%m-%d %H:%M} UTC")
    elif now + _SOON > certificate.not_after:
        found.append(f"{path} expires on {certificate.not_after:%Y-%m-%d %H:%M} UTC")
    if certificate.has_common_name_only:
        found.append(f"{path} has no subjectAltName: most clients will refuse it")
    try:
        mode = stat.S_IMODE(os.stat(files.private_key).st_mode)
    except OSError:
        return found  # it was readable a moment ago
    if mode & 0o027:
        who = "others" if mode & 0o007 else "its group"
        found.append(
            f"{files.private_key} is open to {who} (mode {mode:04o}): chmod 600 {files.private_key}"
        )
    return found
