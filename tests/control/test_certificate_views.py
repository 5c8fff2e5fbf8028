"""What is told of a certificate."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.ingress.authority import NOW, Authority
from volt_agent.control.handlers.certificate import automatic_view, manual_view
from volt_agent.ingress.acme.state import HostCertificate
from volt_agent.ingress.certificate import Files
from volt_agent.ingress.tls import Entry, Usable, load_usable

HOST = "app.example.com"
LATER = datetime(2026, 12, 1, 10, tzinfo=UTC).timestamp()


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def entry(files: Files, problem: str | None = None) -> Entry:
    usable: Usable = load_usable(files)
    return Entry(usable, problem, (None, None))


def test_an_automatic_one() -> None:
    """Times are RFC 3339; the words are those of `ingress list`."""
    state = HostCertificate(HOST, "valid", not_after=LATER, renew_at=LATER - 86400, serial="0a")
    view = automatic_view(state, ["web"], datetime(2026, 10, 1, tzinfo=UTC))
    assert (view.tls, view.state, view.routes) == ("auto", "valid", ["web"])
    assert view.status == "valid until 2026-12-01"
    assert (view.not_after, view.renew_at) == ("2026-12-01T10:00:00Z", "2026-11-30T10:00:00Z")


def test_one_from_files(tmp_path: Path, authority: Authority) -> None:
    """What `ingress create` would warn of is said here, too."""
    files = authority.files(tmp_path, HOST)
    view = manual_view(HOST, files, entry(files), ["web"], NOW)
    assert (view.tls, view.state, view.warnings) == ("manual", "valid", [])
    assert view.status.startswith("valid until ")
    os.chmod(files.private_key, 0o644)
    (warning,) = manual_view(HOST, files, entry(files), ["web"], NOW).warnings
    assert "chmod 600" in warning


def test_one_that_has_expired(tmp_path: Path, authority: Authority) -> None:
    """It is used, and has failed all the same."""
    files = authority.files(tmp_path, HOST, ends=NOW + timedelta(days=1))
    view = manual_view(HOST, files, entry(files), ["web"], NOW + timedelta(days=2))
    assert (view.state, view.warnings) == ("failed", [])
    assert view.status.startswith("expired on ")
    assert view.reason is not None
    assert "clients will refuse it" in view.reason


def test_files_that_cannot_be_used(tmp_path: Path, authority: Authority) -> None:
    """With and without a certificate that was read before."""
    files = authority.files(tmp_path, HOST)
    torn = manual_view(HOST, files, Entry(None, "a.pem is incomplete", (None, None)), [], NOW)
    assert (torn.state, torn.status) == ("failed", "unusable: a.pem is incomplete")
    kept = manual_view(HOST, files, entry(files, "a.pem is incomplete"), [], NOW)
    assert (kept.state, kept.reason) == ("failed", "a.pem is incomplete")
    assert kept.status.startswith("valid until ")
