"""ingress.cert.*"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from ...errors import NotFound, Refused
from ...ingress.acme.state import HostCertificate, words
from ...ingress.certificate import Files, warnings
from ...ingress.server import Ingress
from ...ingress.tls import Entry
from ...model.lookup import shortened
from ...model.route import Route
from ...registry import Registry
from ..messages import certificate as messages
from ..method import Nothing
from . import Handlers


class CertificateHandlers:
    def __init__(self, registry: Registry, ingress: Ingress) -> None:
        self._registry, self._ingress = registry, ingress

    def handlers(self) -> Handlers:
        return {
            "ingress.cert.list": self.list_all,
            "ingress.cert.inspect": self.inspect,
            "ingress.cert.renew": self.renew,
        }

    async def list_all(self, params: Nothing) -> list[messages.Certificate]:
        return [await self._view(host) for host in sorted(self._hosts())]

    async def inspect(self, params: messages.HostName) -> messages.CertificateDetail:
        host = self._find(params.host)
        view = await self._view(host)
        files, entry = self._ingress.served().get(host, (None, None))
        details = await asyncio.to_thread(_details, entry) if entry is not None else {}
        if files is not None:
            details |= {"certificate_file": files.certificate, "key_file": files.private_key}
        if view.tls == "auto":
            details["directory"] = self._ingress.settings.acme.url
        known = {name: getattr(view, name) for name in messages.Certificate.__struct_fields__}
        return messages.CertificateDetail(**{**known, **details})

    async def renew(self, params: messages.RenewCertificates) -> list[messages.Certificate]:
        host = self._find(params.host) if params.host is not None else None
        if host is not None and host not in self._automatic():
            raise Refused(
                f"the certificate of {host} comes from files of yours",
                "replace them, and volt takes them over; at once with: volt ingress reload",
            )
        await self._ingress.automatic.renew(host, params.force)
        hosts = [host] if host is not None else sorted(self._automatic())
        views = [await self._view(each) for each in hosts]
        return [each for each in views if host is not None or each.state == "issuing"]

    # ---- inside ---------------------------------------------------------------------------------

    def _hosts(self) -> Mapping[str, list[Route]]:
        """The routes that a certificate is for, oldest first, by host name."""
        found: dict[str, list[Route]] = {}
        for route in sorted(self._routes(), key=lambda each: each.sequence):
            found.setdefault(route.hostname, []).append(route)
        return found

    def _routes(self) -> Iterable[Route]:
        routes = self._registry.snapshot.routes.values()
        return (each for each in routes if each.tls in ("auto", "manual"))

    def _automatic(self) -> Mapping[str, HostCertificate]:
        return self._ingress.automatic.states()

    def _find(self, name: str) -> str:
        """The host called `name`, or that of the route so called. Raises NotFound."""
        host = name.lower().removesuffix(".")
        hosts = self._hosts()
        if host in hosts:
            return host
        for each, routes in hosts.items():
            if any(route.name == name for route in routes):
                return each
        raise NotFound(
            f"there is no certificate for {shortened(name)!r}",
            "volt ingress cert list shows those that there are",
        )

    async def _view(self, host: str) -> messages.Certificate:
        routes = [each.name for each in self._hosts().get(host, [])]
        automatic, served = self._automatic().get(host), self._ingress.served().get(host)
        now = datetime.now(UTC)
        if automatic is None and served is not None:
            return await asyncio.to_thread(manual_view, host, *served, routes, now)
        # Neither: the route came a moment ago.
        return automatic_view(automatic or HostCertificate(host, "issuing"), routes, now)


def automatic_view(
    state: HostCertificate, routes: list[str], now: datetime
) -> messages.Certificate:
    """How it is with a certificate that volt sees to itself."""
    return messages.Certificate(
        host=state.host,
        tls="auto",
        routes=routes,
        state=state.state,
        status=words(state, now.timestamp()),
        not_after=_moment(state.not_after),
        renew_at=_moment(state.renew_at),
        reason=state.reason,
        next_try=_moment(state.next_try),
        attempts=state.attempts,
        warnings=[*state.warnings],
        issuer=state.issuer,
        serial=state.serial,
    )


def manual_view(
    host: str, files: Files, entry: Entry, routes: list[str], now: datetime
) -> messages.Certificate:
    """How it is with a certificate from files. Looks at their permissions: call it in a thread."""
    if entry.usable is None:
        status = f"unusable: {entry.problem}"
        return messages.Certificate(
            host=host, tls="manual", routes=routes, state="failed", status=status,
            reason=entry.problem,
        )  # fmt: skip
    certificate = entry.usable.certificate
    has_expired = certificate.not_after < now
    found = warnings(certificate, files, now)
    problem = entry.problem or (found.pop(0) if has_expired else None)
    return messages.Certificate(
        host=host,
        tls="manual",
        routes=routes,
        state="valid" if problem is None else "failed",
        status=f"{'expired on' if has_expired else 'valid until'} {certificate.not_after:%Y-%m-%d}",
        not_after=_moment(certificate.not_after.timestamp()),
        reason=problem,
        warnings=found,
        issuer=certificate.issuer,
    )


def _details(entry: Entry) -> dict[str, Any]:
    """What is read from the certificate in use. Takes a few ms: call it in a thread."""
    if entry.usable is None:
        return {}
    from ...ingress.chain import read_chain

    certificate = entry.usable.certificate
    chain = read_chain(certificate.pem)
    return {
        "names": [*certificate.names],
        "not_before": _moment(certificate.not_before.timestamp()),
        "key": chain.key,
        "serial": chain.serial,
        "fingerprint": chain.fingerprint,
        "chain": [*chain.subjects],
    }


def _moment(seconds: float | None) -> str | None:
    """RFC 3339, UTC."""
    if seconds is None:
        return None
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
