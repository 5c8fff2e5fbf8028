"""From what libraries and CAs say to what a user can do something about.

In worker threads only, like `conversation`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import acme.errors
import acme.messages
import requests

from ...config import AcmeSection
from .problem import Problem, Scope, one_line

_PREFIX = "urn:ietf:params:acme:error:"
# RFC 8555, section 6.7: what the CA met when it asked at port 80.
_CHALLENGE = {"connection", "dns", "incorrectResponse", "tls", "unauthorized", "unknownHost"}
_ACCOUNT = {
    "accountDoesNotExist",
    "badPublicKey",
    "badSignatureAlgorithm",
    "externalAccountRequired",
    "invalidContact",
    "unsupportedContact",
    "userActionRequired",
}
_about_everybody = re.compile(r"\b(account|IP address|IP range|service busy)\b", re.IGNORECASE)


def problem_of(
    error: Exception, stage: str, settings: AcmeSection, retry_after: float | None
) -> Problem:
    """What an exception at `stage` ("directory", "account" or "order") means."""
    if isinstance(error, acme.messages.Error):
        return _refused(error.to_partial_json(), stage, retry_after)
    if isinstance(error, acme.errors.ClientError) and error.args:
        response = error.args[0]
        if isinstance(response, requests.Response):
            return _status(response.status_code, settings, retry_after, stage)
    if isinstance(error, requests.exceptions.SSLError):
        return Problem("trust", _trust(error, settings), "account")
    if isinstance(error, requests.exceptions.Timeout):
        return Problem("directory", f"{settings.url} does not answer", "account")
    if isinstance(error, requests.exceptions.RequestException):
        return Problem("directory", f"{settings.url} cannot be reached: {_cause(error)}", "account")
    if isinstance(error, OSError):
        # That is how requests says that there is no such bundle.
        return Problem("trust", f"{settings.ca_bundle} cannot be read", "account")
    return Problem("directory", f"{settings.url} does not speak ACME", "account")


def refusal(document: Mapping[str, Any]) -> Problem:
    """What the problem document (RFC 7807) of a failed challenge or order means."""
    code, detail = _code(document), _detail(document)
    if code == "caa":
        return Problem("caa", detail, is_final=True)
    if code in _CHALLENGE:
        return Problem("challenge", f"the CA was not served its challenge: {detail}", is_final=True)
    return Problem("order", f"the CA refused the order: {detail}", is_final=True)


def retry_seconds(value: str | None, now: float) -> float | None:
    """Retry-After (RFC 9110, section 10.2.3) in seconds, None where it says nothing sensible."""
    if value is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}", value.strip()):
        return float(value)
    moment = server_time(value)
    return None if moment is None else max(0.0, moment - now)


def server_time(value: str | None) -> float | None:
    """An HTTP date in seconds since the epoch, None where it is none."""
    try:
        return None if value is None else parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _refused(document: Mapping[str, Any], stage: str, retry_after: float | None) -> Problem:
    code, detail = _code(document), _detail(document)
    if code == "rateLimited":
        is_wide = stage != "order" or _about_everybody.search(detail) is not None
        scope: Scope = "account" if is_wide else "host"
        return Problem("rate-limited", f"rate limited by the CA: {detail}", scope, retry_after)
    if stage == "account" or code in _ACCOUNT:
        return Problem("account", f"the CA refused the account: {detail}", "account", retry_after)
    if code == "serverInternal" or stage == "directory":
        return Problem("directory", f"the CA cannot: {detail}", "account", retry_after)
    if code == "caa":
        return Problem("caa", detail, "host", retry_after, is_final=True)
    return Problem("order", f"the CA refused the order: {detail}", "host", retry_after, True)


def _status(status: int, settings: AcmeSection, retry_after: float | None, stage: str) -> Problem:
    if status == 429:
        scope: Scope = "host" if stage == "order" else "account"
        return Problem("rate-limited", "rate limited by the CA", scope, retry_after)
    if status < 500 and stage == "order":
        # The CA has forgotten it, or never had it.
        reason = f"the CA does not know the order any more (HTTP {status})"
        return Problem("order", reason, "host", retry_after, is_final=True)
    hint = ": is ingress.acme.directory right?" if status in (404, 405, 410) else ""
    reason = f"{settings.url} answers with HTTP {status}{hint}"
    return Problem("directory", reason, "account", retry_after)


def _trust(error: Exception, settings: AcmeSection) -> str:
    text = str(error)
    if "expired" in text or "not yet valid" in text:
        return f"the certificate of {settings.url} is not valid now: is this host's clock right?"
    bundle = settings.ca_bundle
    place = "by this host: set ingress.acme.ca_bundle" if bundle is None else f"with {bundle}"
    return f"the certificate of {settings.url} is not trusted {place}"


def _cause(error: BaseException) -> str:
    """The innermost reason in the words of the system, without the classes around it."""
    text = str(error)
    for mark in ("Connection refused", "Name or service not known", "No route to host",
                 "Network is unreachable", "Temporary failure in name resolution",
                 "Connection reset by peer"):  # fmt: skip
        if mark in text:
            return mark.lower()
    return one_line(text.rpartition(": ")[2].strip("')\" ") or type(error).__name__)[:120]


def _code(document: Mapping[str, Any]) -> str:
    return str(document.get("type") or "").removeprefix(_PREFIX)


def _detail(document: Mapping[str, Any]) -> str:
    return one_line(str(document.get("detail") or document.get("title") or _code(document)))
