"""What becomes of certificates, whatever the CA does: with a CA that the tests make up."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec import structs

from tests.ingress.acme.bench import HOST, Bench, loop_steps, on_loop, running, store
from tests.ingress.acme.fake_ca import Answer, FakeCa, authority, refusal
from tests.ingress.authority import Authority, pem_of
from volt_agent.config import AcmeSection
from volt_agent.errors import Failed, NotFound, Refused
from volt_agent.events import (
    CertificateFailed,
    CertificateIssued,
    CertificateOrdered,
    CertificateRenewed,
    CertificateRevoked,
    CertificateSetAside,
)
from volt_agent.ingress.acme.ledger import FIRST_DELAY
from volt_agent.ingress.acme.preflight import Door, Names
from volt_agent.ingress.pem import load

DAY = 86400.0


@pytest.fixture
def ca() -> Iterator[FakeCa]:
    with FakeCa() as ca:
        yield ca


def settings(ca: FakeCa) -> AcmeSection:
    return AcmeSection(directory=ca.directory)


def serve(ca: FakeCa, bench: Bench) -> Bench:
    """From now on the CA finds its challenges at `bench`."""
    ca.validate = bench.certificates.challenge
    return bench


@on_loop
async def test_a_host_gets_a_certificate(ca: FakeCa, tmp_path: Path) -> None:
    """It is ordered once, kept for its owner only, shown, and there at once after a restart."""
    folder = tmp_path / "certs"
    async with running(settings(ca), folder) as bench:
        serve(ca, bench).certificates.want([HOST])
        assert bench.state().state == "issuing"
        await bench.until_state("valid")
        files = bench.installed[HOST]
        assert load(files).names == (HOST,)
        assert bench.certificates.challenge(HOST.encode(), b"t0" * 20) is None, "it is over"
        assert [type(each) for each in bench.events][-1] is CertificateIssued
    modes = {each.stat().st_mode & 0o777 for each in folder.rglob("*") if each.is_file()}
    assert modes == {0o600}
    assert {each.stat().st_mode & 0o777 for each in folder.rglob("*") if each.is_dir()} == {0o700}
    async with running(settings(ca), folder, HOST) as again:
        assert again.installed == {HOST: files}, "before anything runs"
        assert again.state() == bench.state()
    assert (ca.asked["order"], ca.asked["account"]) == (1, 1)


@on_loop
async def test_a_certificate_is_renewed(ca: FakeCa, tmp_path: Path) -> None:
    """At two thirds of its lifetime by the wall clock, with another key; never twice."""
    store(tmp_path, ca.directory)
    async with running(settings(ca), tmp_path, HOST) as bench:
        first, renew_at = load(bench.installed[HOST]), bench.state().renew_at or 0.0
        ahead = renew_at - bench.now()
        assert 0.6 * 90 * DAY < ahead < 0.67 * 90 * DAY
    ca.skew = ahead + 60
    async with running(settings(ca), tmp_path, HOST, ahead=ahead + 60) as bench:
        assert load(bench.installed[HOST]) == first, "the old one serves until then"
        serve(ca, bench)
        await bench.until_said(CertificateRenewed)
        second = load(bench.installed[HOST])
    assert second.pem != first.pem
    assert second.not_after > first.not_after
    assert ca.asked["order"] == 1


@on_loop
async def test_the_ca_says_when_to_renew(ca: FakeCa, tmp_path: Path) -> None:
    """Where it does (RFC 9773), its window counts, but no certificate is replaced at once."""
    start = datetime.now(UTC) + timedelta(days=40)
    ca.window = start, start + timedelta(days=1)
    async with running(settings(ca), tmp_path) as bench:
        serve(ca, bench).certificates.want([HOST])
        await bench.until_state("valid")
        moment = datetime.fromtimestamp(bench.state().renew_at or 0.0, UTC)
        assert ca.window[0] <= moment <= ca.window[1]
    ca.window = datetime.now(UTC) - timedelta(days=2), datetime.now(UTC) - timedelta(days=1)
    other = "other.example.com"
    async with running(settings(ca), tmp_path) as bench:
        serve(ca, bench).certificates.want([other])
        await bench.until_state("valid", other)
        assert (bench.state(other).renew_at or 0.0) > bench.now() + 29 * DAY


FAILURES: dict[str, tuple[dict[str, Answer], str, str]] = {
    "directory not found": ({"directory": (404, {}, None)}, "directory", "ingress.acme.directory"),
    "not a directory": ({"directory": (200, {}, [])}, "directory", "does not speak ACME"),
    "a flood": ({"certificate": (200, {}, "x" * 2_000_000)}, "directory", "more than 1 MiB"),
    "packed": ({"nonce": (200, {"Content-Encoding": "gzip"}, None)}, "directory", "packed"),
    "failing": ({"order": (503, {}, None)}, "directory", "HTTP 503"),
    "busy": ({"order": refusal(500, "serverInternal")}, "directory", "the CA cannot"),
    "account refused": ({"account": refusal(403, "externalAccountRequired")}, "account", "account"),
    "name refused": ({"order": refusal(400, "rejectedIdentifier", "bad")}, "order", "bad"),
    "limited": (
        {"order": refusal(429, "rateLimited", "too many", {"Retry-After": "86400"})},
        "rate-limited", "too many",
    ),
    "order gone": ({"look": (404, {}, None)}, "order", "does not know the order"),
    "no sense": ({"authorisation": (200, {}, "what?")}, "directory", "does not speak ACME"),
    "no certificate": ({"certificate": (200, {}, b"no")}, "order", "cannot be used"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_is_one_reason_and_one_attempt(ca: FakeCa, tmp_path: Path, name: str) -> None:
    """It says what is wrong; neither waiting nor a restart makes it ask again within the back-off,
    and what was issued before goes on to be served."""
    answers, kind, reason = FAILURES[name]

    @on_loop
    async def test() -> None:
        store(tmp_path, ca.directory)
        ca.answers |= answers
        async with running(settings(ca), tmp_path, HOST) as bench:
            old = load(bench.installed[HOST])
            await serve(ca, bench).certificates.renew(HOST, force=True)
            await bench.until_state("failed")
            state = bench.state()
            assert state.reason is not None
            assert reason in state.reason
            assert load(bench.installed[HOST]) == old
            (failure,) = bench.of(CertificateFailed)
            assert failure.kind == kind
            wait = (failure.next_try.timestamp() if failure.next_try else 0.0) - bench.now()
            least = 86400.0 if name == "limited" else FIRST_DELAY
            assert least - 20 < wait < least * 1.25 + 5
            with pytest.raises(Refused):
                await bench.certificates.renew(HOST)
        asked = ca.asked.copy()
        assert asked["order"] <= 1
        async with running(settings(ca), tmp_path, HOST) as again:
            assert again.installed
            assert again.state().not_after is not None
        assert ca.asked == asked

    test()


@on_loop
async def test_a_dead_ca_is_one_question(tmp_path: Path) -> None:
    """Of many hosts one finds out; all wait, across a restart too."""
    ca = FakeCa()
    ca.answers["directory"] = 500, {}, None
    hosts = [f"h{number}.example.com" for number in range(12)]
    async with running(settings(ca), tmp_path, *hosts) as bench:
        await bench.until_state("failed", *hosts)
        assert "HTTP 500" in (bench.state(hosts[0]).reason or "")
    async with running(settings(ca), tmp_path, *hosts) as bench:
        assert {each.state for each in bench.certificates.states().values()} == {"failed"}
    assert ca.asked["directory"] == 1
    ca.close()
    async with running(settings(ca), tmp_path / "other", HOST) as bench:
        await bench.until_state("failed")
        assert "cannot be reached: connection refused" in (bench.state().reason or "")


@on_loop
async def test_a_ca_that_nobody_vouches_for(tmp_path: Path) -> None:
    """The reason names the bundle, and the first order with the right one succeeds at once."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*structs.astuple(authority().files(tmp_path, "127.0.0.1")))
    right, wrong = tmp_path / "right.pem", tmp_path / "wrong.pem"
    right.write_bytes(pem_of([authority().root]))
    wrong.write_bytes(pem_of([Authority().root]))
    with FakeCa(tls=server) as ca:
        trust = AcmeSection(directory=ca.directory, ca_bundle=str(wrong))
        async with running(trust, tmp_path / "certs", HOST) as bench:
            await bench.until_state("failed")
            assert f"is not trusted with {wrong}" in (bench.state().reason or "")
            bench.certificates.configure(structs.replace(trust, ca_bundle=f"{wrong}x"))
            await bench.until(lambda: "cannot be read" in (bench.state().reason or ""))
            serve(ca, bench).certificates.configure(structs.replace(trust, ca_bundle=str(right)))
            await bench.until_state("valid")


@on_loop
async def test_twenty_at_once(ca: FakeCa, tmp_path: Path) -> None:
    """One account, an order for each; nothing that runs on the loop takes long."""
    hosts = [f"h{number}.example.com" for number in range(20)]
    async with running(settings(ca), tmp_path) as bench:
        with loop_steps() as steps:
            serve(ca, bench).certificates.want(hosts)
            await bench.until_state("valid", *hosts)
    assert (len(ca.keys), ca.asked["account"]) == (1, 1)
    assert sorted(each["host"] for each in ca.orders) == sorted(hosts)
    assert max(steps) < 0.05, "processor time of one step, ten times what it takes"


@on_loop
async def test_the_back_off_grows_and_ends(ca: FakeCa, tmp_path: Path) -> None:
    """It doubles with each failure in a row and survives restarts; then all is as it was."""
    ca.validate = lambda _host, _token: None
    waits = []
    ahead = 0.0
    for attempt in (1, 2, 3):
        ca.skew = ahead
        async with running(settings(ca), tmp_path, HOST, ahead=ahead) as bench:
            await bench.until_said(CertificateFailed)
            state = bench.state()
            assert state.attempts == attempt
            assert "challenge" in (state.reason or "")
            waits.append((state.next_try or 0.0) - bench.now())
            ahead += waits[-1] + 5
    assert ca.asked["order"] == 3
    for wait, least in zip(waits, (60, 120, 240), strict=True):
        assert least - 20 < wait < least * 1.25 + 1
    ca.skew = ahead
    async with running(settings(ca), tmp_path, ahead=ahead) as bench:
        serve(ca, bench).certificates.want([HOST])
        await bench.until_state("valid")
        assert bench.state().attempts == 0


@on_loop
async def test_a_wrong_clock_spends_no_order(ca: FakeCa, tmp_path: Path) -> None:
    """Two months ahead everything seems to expire: the reason is the clock; what is there goes on
    to be served."""
    store(tmp_path, ca.directory)
    async with running(settings(ca), tmp_path, HOST, ahead=62 * DAY) as bench:
        await bench.until_state("failed")
        assert "clock of this host is 62 days ahead" in (bench.state().reason or "")
        assert bench.installed
    assert ca.asked["order"] == 0


@on_loop
async def test_preflight_spends_no_order(ca: FakeCa, tmp_path: Path) -> None:
    """What it finds is the reason at once; once it is mended, the next look finds that out."""
    async with running(settings(ca), tmp_path) as bench:
        bench.names = Names(exists=False, addresses=())
        serve(ca, bench).certificates.want([HOST])
        await bench.until_state("failed")
        assert f"public DNS has no {HOST}" in (bench.state().reason or "")
        bench.door, bench.names = Door(80, "port 80: nginx has it"), Names(True, ("192.0.2.9",))
        await bench.certificates.renew(HOST, force=True)
        await bench.until(lambda: len(bench.of(CertificateFailed)) == 2)
        assert bench.state().reason == "port 80: nginx has it"
        assert not ca.asked
        bench.door = Door(80)
        await bench.certificates.renew(HOST, force=True)
        await bench.until_state("valid")


@on_loop
async def test_an_order_goes_on_where_it_was(ca: FakeCa, tmp_path: Path) -> None:
    """After a restart in the middle there is no second one."""
    ca.decides = False
    async with running(settings(ca), tmp_path, HOST) as bench:
        await bench.until(lambda: ca.asked["challenge"])
    ca.decides = True
    async with running(settings(ca), tmp_path) as bench:
        serve(ca, bench).certificates.want([HOST])
        await bench.until_state("valid")
        assert not bench.of(CertificateOrdered)
    assert ca.asked["order"] == 1


@on_loop
async def test_renewing_by_hand(ca: FakeCa, tmp_path: Path) -> None:
    """A fresh certificate is left alone but by force; while an order is under way, there is no
    other one."""
    store(tmp_path, ca.directory)
    async with running(settings(ca), tmp_path, HOST) as bench:
        serve(ca, bench)
        with pytest.raises(Refused, match="fresh"):
            await bench.certificates.renew(HOST)
        with pytest.raises(NotFound):
            await bench.certificates.renew("other.example.com")
        await bench.certificates.renew(None)
        for _ in range(5):
            await bench.certificates.renew(HOST, force=True)
        await bench.until_said(CertificateRenewed)
    assert ca.asked["order"] == 1


@on_loop
async def test_revoking(ca: FakeCa, tmp_path: Path) -> None:
    """The CA first: if it refuses, the certificate stays in use."""
    store(tmp_path, ca.directory)
    async with running(settings(ca), tmp_path, HOST) as bench:
        ca.answers["revoke"] = refusal(403, "unauthorized", "not yours")
        with pytest.raises(Failed, match="not yours"):
            await bench.certificates.revoke(HOST)
        assert bench.installed
        del ca.answers["revoke"]
        await bench.certificates.revoke(HOST)
        assert bench.of(CertificateRevoked)
        assert not bench.installed
        with pytest.raises(NotFound):
            await bench.certificates.revoke(HOST)
    assert ca.asked["order"] == 0


@on_loop
async def test_another_ca_issues_anew(ca: FakeCa, tmp_path: Path) -> None:
    """From staging to production: the former certificate serves until the new one is there."""
    store(tmp_path, ca.directory)
    async with running(settings(ca), tmp_path, HOST) as bench:
        with FakeCa(bench.certificates.challenge) as other:
            bench.certificates.configure(settings(other))
            assert bench.installed
            await bench.until_said(CertificateRenewed)
            assert (other.asked["account"], other.asked["order"]) == (1, 1)
    assert ca.asked["order"] == 0


@on_loop
async def test_a_torn_certificate_is_set_aside(ca: FakeCa, tmp_path: Path) -> None:
    """And reported, and another one got."""
    path = Path(store(tmp_path, ca.directory).files.certificate)
    path.write_bytes(path.read_bytes()[:700])
    async with running(settings(ca), tmp_path) as bench:
        serve(ca, bench).certificates.want([HOST])
        await bench.until_state("valid")
        (aside,) = bench.of(CertificateSetAside)
        assert Path(aside.path).exists()
        assert aside.host == HOST
