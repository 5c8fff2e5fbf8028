"""nftables through libnftables: one text is one atomic transaction; listings come back as JSON.

Every `Nft` works in a thread of its own. A context belongs to the network namespace of the thread
that created it, the calls may take as long as 150 ms (10,000 elements), and the kernel tells all
listeners which thread wrote a generation by its name: `Nft.comm` is how `tamper` knows volt's own.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import functools
import os
import re
import secrets
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from ..errors import KernelRefused
from .netlink import Request
from .netlink_socket import NetlinkSocket
from .nft_elements import NETFILTER, SUBSYSTEM, read_counts
from .nft_listing import Counted, counted, normalised, objects_of

T = TypeVar("T")

_LIBRARY = "libnftables.so.1"

# include/nftables/libnftables.h: NFT_CTX_OUTPUT_JSON and, without the elements of sets,
# NFT_CTX_OUTPUT_TERSE.
_JSON = 1 << 4
_TERSE = 1 << 11

# linux/prctl.h and linux/sched.h. A thread's name has at most 15 characters (TASK_COMM_LEN).
_PR_SET_NAME = 15
_CLONE_NEWNET = 0x40000000

# libnftables numbers the sets of a transaction by a global variable (set_id in its src/rule.c): two
# threads at once could give two sets of one transaction the same number.
_one_at_a_time = threading.Lock()

_ERROR = re.compile(r"Error: (?:Could not process rule: )?(.*)")
_ERRNO_OF = {os.strerror(number): number for number in errno.errorcode}


class Nft:
    """The nftables of the network namespace in which it is first used.

    Calls are carried out one after the other. None of them can be cancelled half-way: a cancelled
    caller stops waiting, the transaction goes on.
    """

    def __init__(self) -> None:
        self.comm = f"volt-nft-{secrets.token_hex(3)}"
        self._context: _Context | None = None
        self._thread = ThreadPoolExecutor(1, self.comm, functools.partial(_name_thread, self.comm))

    async def run(self, text: str) -> None:
        """Apply `text` as one transaction.

        Raises KernelRefused with nft's reason; then nothing at all has changed.
        """
        await self._call(lambda context: context.command(text))

    async def change_elements(self, requests: Sequence[Request]) -> None:
        """Carry out these (`nft_elements`) as one transaction. Raises KernelRefused as `run`."""
        await self._call(lambda context: context.transact(requests))

    async def listing(self, family: str, table: str) -> str | None:
        """A table without what changes by itself (`nft_listing.normalised`); None if it is missing.

        Two tables with the same listing treat every packet alike.
        """
        return await self._call(lambda context: context.listing(family, table))

    async def counters(self, family: str, table: str) -> dict[str, Counted]:
        """The named counters of a table; empty if there is no such table."""
        return await self._call(lambda context: context.counters(family, table))

    async def objects(self, command: str) -> list[dict[str, Any]]:
        """What a `list` command shows, as decoded JSON (libnftables-json(5)), without the elements
        of sets. Raises KernelRefused."""
        output = await self._call(lambda context: context.command(command, _JSON | _TERSE))
        return list(objects_of(output))

    async def element_counts(
        self, table: str, sets: Sequence[str]
    ) -> dict[str, dict[bytes, Counted]]:
        """What the elements of each of these sets of an inet table have counted, by key.

        Transactions pass in between: only the socket is made in the thread of this `Nft`.
        """
        netlink = await self._call(lambda _context: NetlinkSocket(NETFILTER))
        try:
            return await asyncio.to_thread(
                lambda: {name: read_counts(netlink, table, name) for name in sets}
            )
        except OSError as error:
            raise KernelRefused(f"nftables counters: {error.strerror}", error.errno or 0) from error
        finally:
            netlink.close()

    async def close(self) -> None:
        """Wait for what is under way and end the thread."""
        await self._call(lambda context: context.close())
        self._thread.shutdown(wait=False)

    async def _call(self, work: Callable[[_Context], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._with, work)

    def _with(self, work: Callable[[_Context], T]) -> T:
        """In the thread: the context is created there, hence in the right namespace."""
        if self._context is None:
            self._context = _Context()
        return work(self._context)


async def scratch_listing(text: str, tables: Sequence[tuple[str, str]]) -> list[str | None]:
    """What `Nft.listing` of each of `tables` (family, name) would say after `text` was loaded.

    It is loaded into an empty network namespace, which lives only as long as this call. Raises
    KernelRefused if the text is refused, or the namespace (EPERM).
    """

    def work(context: _Context) -> list[str | None]:
        context.command(text)
        return [context.listing(family, name) for family, name in tables]

    return await _in_scratch(work)


async def in_scratch(work: Callable[[Callable[[str], bytes]], T]) -> T:
    """What `work` returns, called with a function that runs nft commands, in a thread in an empty
    network namespace of its own.

    Raises KernelRefused if the namespace is refused (EPERM), and what `work` raises.
    """
    return await _in_scratch(lambda context: work(context.command))


async def _in_scratch(work: Callable[[_Context], T]) -> T:
    thread = ThreadPoolExecutor(1, "volt-nft-scratch")
    try:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(thread, _work_in_scratch, work)
    finally:
        thread.shutdown(wait=False)


def _work_in_scratch(work: Callable[[_Context], T]) -> T:
    """Runs in a thread that ends right after, since it can never get back its namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise KernelRefused(f"no scratch network namespace: {os.strerror(number)}", number)
    context = _Context()
    try:
        return work(context)
    finally:
        context.close()


def _name_thread(name: str) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)


class _Context:
    """A libnftables context; only for the thread that created it."""

    def __init__(self) -> None:
        self._library = _library()
        self._pointer = self._library.nft_ctx_new(0)
        self._library.nft_ctx_buffer_output(self._pointer)
        self._library.nft_ctx_buffer_error(self._pointer)
        self._netlink: NetlinkSocket | None = None

    def command(self, text: str, flags: int = 0) -> bytes:
        """Run `text`; returns what it prints. Raises KernelRefused."""
        library, pointer = self._library, self._pointer
        with _one_at_a_time:
            library.nft_ctx_output_set_flags(pointer, flags)
            status = library.nft_run_cmd_from_buffer(pointer, text.encode())
            output: bytes = library.nft_ctx_get_output_buffer(pointer) or b""
            complaint: bytes = library.nft_ctx_get_error_buffer(pointer) or b""
        if status != 0:
            raise refusal(complaint.decode(errors="replace"))
        return output

    def transact(self, requests: Sequence[Request]) -> None:
        """Raises KernelRefused."""
        if self._netlink is None:
            self._netlink = NetlinkSocket(NETFILTER)
        try:
            self._netlink.transact(SUBSYSTEM, requests)
        except OSError as error:
            reason, number = error.strerror or "no reason given", error.errno or 0
            raise KernelRefused(f"nftables refused the change: {reason}", number) from error

    def listing(self, family: str, table: str) -> str | None:
        output = self._list(family, table, _JSON)
        return None if output is None else normalised(output)

    def counters(self, family: str, table: str) -> dict[str, Counted]:
        # `list counters` reads all elements too (75 ms for 10,000 of them); this takes a quarter.
        output = self._list(family, table, _JSON | _TERSE)
        return {} if output is None else counted(output)

    def close(self) -> None:
        if self._pointer is not None:
            self._library.nft_ctx_free(self._pointer)
            self._pointer = None
        if self._netlink is not None:
            self._netlink.close()

    def _list(self, family: str, table: str, flags: int) -> bytes | None:
        try:
            return self.command(f"list table {family} {table}", flags)
        except KernelRefused as refused:
            if refused.errno == errno.ENOENT:
                return None
            raise


def refusal(complaint: str) -> KernelRefused:
    """libnftables' complaint as an error: its first line without the position, and the errno."""
    first = next(iter(complaint.splitlines()), "")
    found = _ERROR.search(first)
    reason, _, _suggestion = (found.group(1) if found else first).partition("; did you mean")
    reason = reason.strip() or "no reason given"
    number = _ERRNO_OF.get(reason.rpartition(": ")[2], 0)
    return KernelRefused(f"nftables refused the change: {reason}", number)


@functools.cache
def _library() -> Any:
    """The loaded library (ctypes has no static types for it). Raises KernelRefused without it."""
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError as error:
        raise KernelRefused(
            f"{_LIBRARY} cannot be loaded", errno.ENOENT, "install libnftables1"
        ) from error
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    for name, arguments, result in (
        ("nft_ctx_new", [ctypes.c_uint32], pointer),
        ("nft_ctx_free", [pointer], None),
        ("nft_ctx_buffer_output", [pointer], number),
        ("nft_ctx_buffer_error", [pointer], number),
        ("nft_ctx_output_set_flags", [pointer, ctypes.c_uint], None),
        ("nft_ctx_get_output_buffer", [pointer], text),
        ("nft_ctx_get_error_buffer", [pointer], text),
        ("nft_run_cmd_from_buffer", [pointer, text], number),
    ):
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, result
    return library
