"""The tables of certificates, character by character."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from volt_agent.cli import ingress_cert
from volt_agent.cli.output import table
from volt_agent.control.messages.certificate import Certificate, CertificateDetail

VALID = Certificate(
    host="app.example.com",
    tls="auto",
    routes=["web", "api"],
    state="valid",
    status="valid until 2026-12-01",
    not_after="2026-12-01T10:00:00Z",
    renew_at="2026-11-01T10:00:00Z",
)
FAILED = Certificate(
    host="ws.example.com",
    tls="auto",
    routes=["ws"],
    state="failed",
    status="failed: public DNS has no ws.example.com, next try 13:05",
    reason="public DNS has no ws.example.com",
    next_try="2026-10-01T13:05:30Z",
    attempts=2,
)
MANUAL = Certificate(
    host="cdn.example.com",
    tls="manual",
    routes=["cdn"],
    state="valid",
    status="valid until 2027-01-01",
    not_after="2027-01-01T00:00:00Z",
)


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def test_the_list() -> None:
    """Until when each is good, when it is replaced, and what is in the way."""
    assert table([VALID, FAILED, MANUAL], ingress_cert.COLUMNS) == (
        "HOST             TLS     STATE   EXPIRES     RENEWAL     NEXT-TRY          REASON\n"
        "app.example.com  auto    valid   2026-12-01  2026-11-01  -                 -\n"
        "ws.example.com   auto    failed  -           -           2026-10-01 13:05  "
        "public DNS has no ws.example.com\n"
        "cdn.example.com  manual  valid   2027-01-01  -           -                 -\n"
    )


def test_the_details() -> None:
    """What openssl would be asked for, and what volt is about to do."""
    known = {name: getattr(VALID, name) for name in Certificate.__struct_fields__}
    found = CertificateDetail(
        **{**known, "issuer": "CN=Test CA", "serial": "0abc", "warnings": ["port 81"]},
        names=["app.example.com"],
        not_before="2026-09-01T10:00:00Z",
        key="ECDSA secp256r1",
        fingerprint="AB:CD",
        chain=["CN=app.example.com, by CN=Test CA"],
        certificate_file="/c.pem",
        key_file="/c.key",
        directory="https://ca.example/dir",
    )
    assert ingress_cert._text(found, colour=False) == (
        "Host:          app.example.com\n"
        "Routes:        web,api\n"
        "TLS:           auto\n"
        "State:         valid\n"
        "Status:        valid until 2026-12-01\n"
        "Names:         app.example.com\n"
        "Issuer:        CN=Test CA\n"
        "Serial:        0abc\n"
        "Fingerprint:   AB:CD\n"
        "Key:           ECDSA secp256r1\n"
        "Valid from:    2026-09-01T10:00:00Z\n"
        "Valid until:   2026-12-01T10:00:00Z\n"
        "Renewal:       2026-11-01T10:00:00Z\n"
        "Failed tries:  0\n"
        "Next try:      -\n"
        "CA:            https://ca.example/dir\n"
        "Certificate:   /c.pem\n"
        "Private key:   /c.key\n"
        "\nChain\n- CN=app.example.com, by CN=Test CA\n"
        "\nProblems\n- port 81\n"
    )
