"""Entering namespaces, and telling them from other files."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.kernel.worlds import new_namespace
from volt_agent.kernel.namespaces import StrandedError, entered, identity, is_namespace

OWN = "/proc/thread-self/ns/net"


def test_only_network_namespaces_are_namespaces(tmp_path: Path) -> None:
    """Not the file on which one is yet to be mounted, not a FIFO (opening it would block)."""
    fifo, empty = tmp_path / "fifo", tmp_path / "empty"
    os.mkfifo(fifo)
    empty.touch()
    assert is_namespace(OWN)
    assert is_namespace(f"/proc/{os.getpid()}/ns/net")
    for path in (str(fifo), str(empty), str(tmp_path), "/proc/self/ns/mnt", "/dev/null", "/nope"):
        assert not is_namespace(path), path


def test_identity_is_that_of_the_namespace_not_of_its_name() -> None:
    """Two names of one namespace are alike; what is gone has none."""
    assert identity(OWN) == identity(f"/proc/{os.getpid()}/ns/net")
    assert identity("/proc/self/ns/mnt") != identity(OWN)
    assert identity("/nope") is None


@pytest.mark.kernel
def test_a_thread_is_elsewhere_for_the_block_only() -> None:
    """Also when the block raises; the other threads do not move."""
    there, home = new_namespace(), identity(OWN)

    def visit() -> list[str | None]:
        with entered(there):
            seen = [identity(OWN), identity(f"/proc/{os.getpid()}/ns/net")]
        with pytest.raises(ZeroDivisionError), entered(there):
            raise ZeroDivisionError
        return [*seen, identity(OWN)]

    with ThreadPoolExecutor(1) as thread:
        elsewhere, main_thread, afterwards = thread.submit(visit).result()
    assert elsewhere == identity(f"/proc/self/fd/{there}")
    assert elsewhere != home
    assert main_thread == afterwards == home
    os.close(there)


@pytest.mark.kernel
def test_a_file_that_is_no_namespace_cannot_be_entered(tmp_path: Path) -> None:
    """EINVAL, and the thread stays where it is."""
    handle = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(OSError, match="Invalid argument") as refusal, entered(handle):
            pytest.fail("entered a directory")
    finally:
        os.close(handle)
    assert refusal.value.errno == errno.EINVAL


@pytest.mark.kernel
def test_who_cannot_come_back_says_so() -> None:
    """StrandedError, instead of carrying on in the wrong place."""
    there, nowhere = new_namespace(), os.open("/dev/null", os.O_RDONLY)

    def cut_the_way_back() -> None:
        home = os.readlink(OWN)
        before = descriptors_of(home)
        with entered(there):
            for number in descriptors_of(home) - before:
                os.dup2(nowhere, number)

    with ThreadPoolExecutor(1) as thread, pytest.raises(StrandedError, match="cannot return"):
        thread.submit(cut_the_way_back).result()
    os.close(nowhere)
    os.close(there)


def descriptors_of(target: str) -> set[int]:
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            if os.readlink(f"/proc/self/fd/{name}") == target:
                found.add(int(name))
    return found
