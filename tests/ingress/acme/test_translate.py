"""What CAs and libraries say, for users."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import acme.errors
import acme.messages
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from volt_agent.config import AcmeSection
from volt_agent.ingress.acme.translate import problem_of, refusal, retry_seconds

SETTINGS = AcmeSection(directory="https://ca.example/dir")
NOW = datetime(2026, 9, 2, 12, tzinfo=UTC).timestamp()


def refused(code: str, detail: str = "because") -> acme.messages.Error:
    document = {"type": f"urn:ietf:params:acme:error:{code}", "detail": detail}
    made: acme.messages.Error = acme.messages.Error.from_json(document)
    return made


def answer(status: int) -> acme.errors.ClientError:
    response = requests.Response()
    response.status_code = status
    return acme.errors.ClientError(response)


@pytest.mark.parametrize(
    ("error", "stage", "kind", "scope"),
    [
        (refused("rateLimited", "for this name"), "order", "rate-limited", "host"),
        (refused("rateLimited", "by this account"), "order", "rate-limited", "account"),
        (refused("rateLimited"), "account", "rate-limited", "account"),
        (refused("accountDoesNotExist"), "order", "account", "account"),
        (refused("externalAccountRequired"), "account", "account", "account"),
        (refused("rejectedIdentifier"), "order", "order", "host"),
        (refused("caa"), "order", "caa", "host"),
        (refused("serverInternal"), "order", "directory", "account"),
        (answer(404), "directory", "directory", "account"),
        (answer(404), "order", "order", "host"),
        (answer(503), "order", "directory", "account"),
        (answer(429), "order", "rate-limited", "host"),
        (requests.exceptions.ConnectTimeout(), "order", "directory", "account"),
        (requests.exceptions.SSLError("self-signed"), "directory", "trust", "account"),
        (requests.exceptions.ConnectionError("x: refused"), "order", "directory", "account"),
        (KeyError("newOrder"), "directory", "directory", "account"),
    ],
)  # fmt: skip
def test_who_has_to_wait_for_what(error: Exception, stage: str, kind: str, scope: str) -> None:
    """What concerns one name does not hold back the others, what concerns all does."""
    problem = problem_of(error, stage, SETTINGS, 30.0)
    assert (problem.kind, problem.scope) == (kind, scope)
    assert "\n" not in problem.reason
    assert not problem.is_preflight, "the CA was asked"


def test_a_clock_that_is_wrong_is_named() -> None:
    """A certificate of the CA that has expired says more of this host than of the CA."""
    error = requests.exceptions.SSLError("certificate verify failed: certificate has expired")
    assert "clock" in problem_of(error, "directory", SETTINGS, None).reason


def test_failed_challenges_and_orders() -> None:
    """Nothing can become of such an order any more."""
    urn = "urn:ietf:params:acme:error:"
    challenge = refusal({"type": f"{urn}connection", "detail": "timeout\nafter 10 s"})
    assert challenge.kind == "challenge"
    assert challenge.reason.endswith("timeout after 10 s")
    for code in ("connection", "caa", "malformed", "", None):
        assert refusal({"type": f"{urn}{code}"}).is_final


def test_retry_after() -> None:
    """RFC 9110: seconds, or a date."""
    soon = datetime.fromtimestamp(NOW + 90, UTC)
    assert retry_seconds("120", NOW) == 120.0
    assert retry_seconds(format_datetime(soon, usegmt=True), NOW) == 90.0
    past = datetime.fromtimestamp(NOW - 90, UTC)
    assert retry_seconds(format_datetime(past, usegmt=True), NOW) == 0.0
    assert retry_seconds(None, NOW) is None


@given(st.text())
def test_nonsense_asks_for_nothing(text: str) -> None:
    """Or for some time that is no less than none."""
    found = retry_seconds(text, NOW)
    assert found is None or found >= 0
