"""`volt ingress cert`: the certificates of the ingress."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import typer

from ..control.messages.certificate import (
    INSPECT,
    LIST,
    RENEW,
    Certificate,
    CertificateDetail,
    HostName,
    RenewCertificates,
)
from ..control.method import Nothing
from ..errors import Invalid
from .command import Group, command
from .complete import certificate_hosts
from .output import Column, bullets, fields, in_short
from .session import Session

COLUMNS: Sequence[Column[Certificate]] = (
    ("HOST", lambda each: each.host),
    ("TLS", lambda each: each.tls),
    ("STATE", lambda each: each.state),
    ("EXPIRES", lambda each: _day(each.not_after)),
    ("RENEWAL", lambda each: _day(each.renew_at)),
    ("NEXT-TRY", lambda each: _minute(each.next_try)),
    ("REASON", lambda each: in_short(each.reason)),
)

NONE_DUE = "none is due; --force asks for new ones all the same"

HostArgument = Annotated[
    str,
    typer.Argument(metavar="HOST", help="The host name.", autocompletion=certificate_hosts),
]
OptionalHost = Annotated[
    str | None,
    typer.Argument(metavar="HOST", help="The host name.", autocompletion=certificate_hosts),
]
All = Annotated[bool, typer.Option("--all", help="Every automatic certificate that is due.")]
Force = Annotated[
    bool,
    typer.Option("--force", help="Also while it is fresh, and without waiting after a failure."),
]


@command("list", examples=("volt ingress cert list", "volt ingress cert list -o json"))
def list_certificates(ctx: typer.Context) -> None:
    """List the certificates: until when they are good, and what is in the way of a new one."""
    session = Session.of(ctx)
    session.table(session.call(LIST, Nothing()), COLUMNS)


@command("inspect", examples=("volt ingress cert inspect app.example.com",))
def inspect(ctx: typer.Context, host: HostArgument) -> None:
    """Show all that is known of one certificate."""
    session = Session.of(ctx)
    found = session.call(INSPECT, HostName(host=host))
    session.show(found, lambda: _text(found, session.colour))


@command(
    "renew",
    examples=(
        "volt ingress cert renew app.example.com",
        "volt ingress cert renew app.example.com --force",
        "volt ingress cert renew --all",
    ),
)
def renew(
    ctx: typer.Context, host: OptionalHost = None, all_hosts: All = False, force: Force = False
) -> None:
    """Order a certificate anew, in the background; the old one serves until it is there.

    volt renews by itself when it is time. CAs limit how many certificates a name gets in a week:
    that is why --force has to be asked for.
    """
    if (host is None) != all_hosts:
        raise Invalid("which certificate?", "give HOST, or --all for those that are due")
    session = Session.of(ctx)
    begun = session.call(RENEW, RenewCertificates(host=host, force=force))
    session.done(begun, "\n".join(_begun(each) for each in begun) or NONE_DUE)


def _begun(certificate: Certificate) -> str:
    return f"{certificate.host}: ordered; `volt ingress cert list` shows how it goes"


def _text(found: CertificateDetail, colour: bool) -> str:
    facts = (
        ("Host", found.host),
        ("Routes", found.routes),
        ("TLS", found.tls),
        ("State", found.state),
        ("Status", found.status),
        ("Names", found.names),
        ("Issuer", found.issuer),
        ("Serial", found.serial),
        ("Fingerprint", found.fingerprint),
        ("Key", found.key),
        ("Valid from", found.not_before),
        ("Valid until", found.not_after),
        ("Renewal", found.renew_at),
        ("Failed tries", found.attempts),
        ("Next try", found.next_try),
        ("CA", found.directory),
        ("Certificate", found.certificate_file),
        ("Private key", found.key_file),
    )
    text = fields(facts, colour=colour) + bullets("Chain", found.chain)
    return text + bullets("Problems", [each for each in (found.reason, *found.warnings) if each])


def _day(moment: str | None) -> str | None:
    return moment[:10] if moment else None


def _minute(moment: str | None) -> str | None:
    """In the time zone of whoever asks."""
    return f"{datetime.fromisoformat(moment).astimezone():%Y-%m-%d %H:%M}" if moment else None


COMMAND = Group(
    "cert",
    "The certificates of the ingress.",
    commands=(list_certificates, inspect, renew),
)
