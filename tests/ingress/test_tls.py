"""Certificates by name, and what becomes of them when their files change."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import ParamSpec

import pytest

from tests.ingress.authority import NOW, Authority, rsa_key
from volt_agent.errors import Refused
from volt_agent.ingress.certificate import Files
from volt_agent.ingress.tls import Certificates, check_route, load_usable, manual_files
from volt_agent.ingress.tls_profile import server_context
from volt_agent.model.route import Backend, Route

AUTHORITY = Authority()
P = ParamSpec("P")


def on_loop(test: Callable[P, Coroutine[None, None, None]]) -> Callable[P, None]:
    """Run a test on a loop of its own."""

    @wraps(test)
    def run(*arguments: P.args, **options: P.kwargs) -> None:
        asyncio.run(test(*arguments, **options))

    return run


def route(name: str, hostname: str, files: Files | None, sequence: int = 1) -> Route:
    """With a manual certificate, or passed through."""
    backends = (Backend("web", 80),)
    if files is None:
        return Route(name, sequence, hostname, "/", backends, tls="passthrough")
    return Route(
        name, sequence, hostname, f"/{name}", backends, "manual",
        files.certificate, files.private_key,
    )  # fmt: skip


async def use(files: dict[str, Files]) -> Certificates:
    certificates = Certificates()
    assert await certificates.use(files) == []
    return certificates


@on_loop
async def test_the_closest_name_decides(tmp_path: Path) -> None:
    """Exact, then the longest wildcard, then the default route; else nobody."""
    hosts = ("a.example", "*.example", "*.b.example")
    files = {each: AUTHORITY.files(tmp_path, each, stem=str(n)) for n, each in enumerate(hosts)}
    certificates = await use(files)
    context_for = certificates.context_for
    exact, wide, narrow = (
        context_for(each) for each in (b"a.example", b"x.example", b"x.b.example")
    )
    assert len({exact, wide, narrow}) == 3
    assert context_for(b"x.y.b.example") is narrow
    assert context_for(b"example") is None
    assert context_for(None) is None
    await certificates.use({**files, "*": files["a.example"]})
    assert context_for(b"a.example") is exact, "it was not read again"
    assert context_for(None) is exact
    assert context_for(b"example") is exact
    await certificates.use({})
    assert context_for(b"a.example") is None


@on_loop
async def test_changed_files_are_taken_over(tmp_path: Path) -> None:
    """At a reload; nothing is read while nothing changes."""
    files = {"a.example": AUTHORITY.files(tmp_path, "a.example")}
    certificates = await use(files)
    before = certificates.context_for(b"a.example")
    assert await certificates.reload() == []
    assert certificates.context_for(b"a.example") is before
    AUTHORITY.files(tmp_path, "a.example")
    assert await certificates.reload() == []
    assert certificates.context_for(b"a.example") is not before


@on_loop
async def test_a_torn_file_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The certificate before stays, the reason is told once, and the whole file is taken over."""
    files = AUTHORITY.files(tmp_path, "a.example")
    certificates = await use({"a.example": files})
    before = certificates.context_for(b"a.example")
    path = Path(files.certificate)
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    for _ in range(2):
        assert await certificates.reload() == [f"{path} is incomplete"]
    assert certificates.context_for(b"a.example") is before
    assert caplog.messages == [f"{path} is incomplete; the one before stays in use"]
    assert certificates.state_of("a.example", NOW).endswith(f"; not replaced: {path} is incomplete")
    path.write_bytes(whole)
    assert await certificates.reload() == []
    assert certificates.context_for(b"a.example") is not before


@on_loop
async def test_half_a_replacement_waits_for_the_other_half(tmp_path: Path) -> None:
    """A new certificate with the key of the old one is not used; a key that vanishes neither."""
    files = AUTHORITY.files(tmp_path, "a.example")
    certificates = await use({"a.example": files})
    before = certificates.context_for(b"a.example")
    fresh = AUTHORITY.files(tmp_path, "a.example", stem="new")
    os.replace(fresh.certificate, files.certificate)
    (problem,) = await certificates.reload()
    assert "does not belong to" in problem
    os.unlink(files.private_key)
    (problem,) = await certificates.reload()
    assert "No such file" in problem
    assert certificates.context_for(b"a.example") is before
    os.replace(fresh.private_key, files.private_key)
    assert await certificates.reload() == []
    assert certificates.context_for(b"a.example") is not before


@on_loop
async def test_one_bad_certificate_hinders_no_other(tmp_path: Path) -> None:
    """It has no context, and its state says why."""
    good = AUTHORITY.files(tmp_path, "a.example")
    missing = Files("/nowhere/b.pem", good.private_key)
    certificates = Certificates()
    (problem,) = await certificates.use({"a.example": good, "b.example": missing})
    assert problem == "/nowhere/b.pem cannot be read: No such file or directory"
    assert certificates.context_for(b"a.example")
    assert certificates.context_for(b"b.example") is None
    assert certificates.state_of("a.example", NOW).startswith("valid until ")
    assert certificates.state_of("b.example", NOW) == f"unusable: {problem}"
    assert certificates.state_of("c.example", NOW) == "missing"


@on_loop
async def test_a_route_is_checked_before_it_is_made(tmp_path: Path) -> None:
    """Warnings are returned, the wrong host is refused; without TLS there is nothing to check."""
    files = AUTHORITY.files(tmp_path, "a.example")
    os.chmod(files.private_key, 0o644)
    (warning,) = await check_route(route("a", "a.example", files))
    assert "is open to others" in warning
    with pytest.raises(Refused, match=r"is not for b\.example"):
        await check_route(route("b", "b.example", files))
    assert await check_route(route("c", "c.example", None)) == []


def test_the_oldest_route_of_a_host_brings_the_certificate(tmp_path: Path) -> None:
    """Others for the same host share it; those passed through need none."""
    one, two = (AUTHORITY.files(tmp_path, "a.example", stem=each) for each in ("one", "two"))
    routes = [
        route("late", "a.example", two, 7),
        route("early", "a.example", one, 3),
        route("through", "b.example", None),
    ]
    assert manual_files(routes) == {"a.example": one}


@on_loop
async def test_reading_does_not_hold_the_loop(tmp_path: Path) -> None:
    """It happens in a thread, one pair of files at a time."""
    files = {
        f"{n}.example": AUTHORITY.files(tmp_path, f"{n}.example", stem=str(n)) for n in range(9)
    }
    certificates = Certificates()
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    await certificates.use(files)
    counting.cancel()
    with suppress(asyncio.CancelledError):
        await counting
    assert turns > 9


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_the_profile_is_mozillas(tmp_path: Path, kind: str) -> None:
    """Versions, suites, curves and options, as far as they can be asked for."""
    key = rsa_key() if kind == "rsa" else None
    context = server_context(
        load_usable(AUTHORITY.files(tmp_path, "a.example", key=key)).certificate
    )
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    names = {each["name"] for each in context.get_ciphers()}
    assert names == {
        "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256",
        "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305",
    }  # fmt: skip
    assert context.options & ssl.OP_NO_COMPRESSION
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert not context.options & ssl.OP_CIPHER_SERVER_PREFERENCE
    assert not context.options & ssl.OP_NO_TICKET
