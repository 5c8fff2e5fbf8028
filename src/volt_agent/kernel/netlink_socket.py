"""A netlink socket that asks one thing at a time and waits for the answer: for worker threads."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Sequence
from itertools import islice

from .netlink import (
    DONE,
    ERROR,
    F_ACK,
    F_DUMP,
    Message,
    NetlinkError,
    Request,
    encode,
    messages,
    refusal,
)

# linux/netlink.h
SOL_NETLINK = 270
ADD_MEMBERSHIP, LISTEN_ALL_NSID, CAP_ACK, EXT_ACK, STRICT_CHECK = 1, 8, 10, 11, 12

_BATCH_BEGIN, _BATCH_END = 0x10, 0x11  # NFNL_MSG_BATCH_* in linux/netfilter/nfnetlink.h

# A dump fills datagrams of up to 32 KiB (net/netlink/af_netlink.c, netlink_recvmsg). Above 128 KiB
# malloc would map fresh memory for each.
DATAGRAM_MAX = 1 << 16
# The kernel answers before sendmsg returns; whoever waits longer waits for ever.
_ANSWER_TIMEOUT = struct.pack("@ll", 10, 0)


class NetlinkSocket:
    """A blocking socket in the network namespace of the thread that makes it.

    One message and its answer at a time: the kernel works inside sendmsg, so that the answer is
    there when it returns, and stopping at the first failure is exact. Several messages in one
    sendmsg were measured too: 1.10 ms instead of 1.15 ms for attaching a container, and the kernel
    would carry out the messages that follow a failed one.
    """

    def __init__(self, protocol: int = socket.NETLINK_ROUTE) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_NETLINK, kind, protocol)
        for option in (CAP_ACK, EXT_ACK, STRICT_CHECK):
            self._socket.setsockopt(SOL_NETLINK, option, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _ANSWER_TIMEOUT)
        self._sequence = 0

    def __enter__(self) -> NetlinkSocket:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def request(self, request: Request) -> None:
        """Have `request` carried out. Raises NetlinkError with the kernel's errno."""
        self._send(request, F_ACK)
        for answer in self._answers():
            if answer.kind == ERROR:
                error = refusal(answer)
                if error is not None:
                    raise error
                return

    def get(self, request: Request) -> Message:
        """The one message that answers `request`. Raises NetlinkError."""
        self._send(request, 0)
        for answer in self._answers():
            error = refusal(answer) if answer.kind == ERROR else None
            if error is not None:
                raise error
            return answer
        raise AssertionError("unreachable: _answers ends only by raising")

    def dump(self, request: Request, limit: int) -> list[Message]:
        """The messages that answer a dump request, at most `limit`. Raises NetlinkError.

        After a dump that was cut short, close the socket.
        """
        return list(islice(self.each_of_dump(request), limit))

    def each_of_dump(self, request: Request) -> Iterator[Message]:
        """The messages that answer a dump request, as they come. Raises NetlinkError."""
        self._send(request, F_DUMP)
        for answer in self._answers():
            if answer.kind in (DONE, ERROR):
                error = refusal(answer)
                if error is not None:
                    raise error
                return
            yield answer

    def request_all(self, requests: Sequence[Request]) -> int:
        """Have independent `requests` carried out in one go; returns how many were not refused.

        At most 64, so that the refusals fit into the receive buffer.
        """
        first = self._sequence + 1
        self._sequence += len(requests)
        last = self._sequence
        self._socket.send(
            b"".join(
                encode(request, number, F_ACK if number == last else 0)
                for number, request in enumerate(requests, first)
            )
        )
        refused = 0
        for answer in self._answers(first, last):
            refused += refusal(answer) is not None
            if answer.sequence == last:
                break
        return len(requests) - refused

    def transact(self, subsystem: int, requests: Sequence[Request]) -> None:
        """Have nfnetlink carry out `requests` as one transaction.

        Raises NetlinkError with the first refusal; then nothing has changed. The kernel reads on
        after a refusal, so the last request is answered in any case, but for one that concerns the
        whole: that is told of its first message (nfnetlink_rcv_batch() in
        net/netfilter/nfnetlink.c).
        """
        frame = bytes((socket.AF_UNSPEC, 0)) + subsystem.to_bytes(2, "big")  # struct nfgenmsg
        whole = (Request(_BATCH_BEGIN, 0, frame), *requests, Request(_BATCH_END, 0, frame))
        first, last = self._sequence + 1, self._sequence + 1 + len(requests)
        self._sequence += len(whole)
        self._socket.sendmsg(
            encode(request, number, F_ACK if number == last else 0)
            for number, request in enumerate(whole, first)
        )
        error: NetlinkError | None = None
        for answer in self._answers(first, last):
            error = error or refusal(answer)
            if answer.sequence == last or (error and answer.sequence == first):
                break
        if error is not None:
            raise error

    def _send(self, request: Request, flags: int) -> None:
        self._sequence += 1
        self._socket.send(encode(request, self._sequence, flags))

    def _answers(self, first: int | None = None, last: int | None = None) -> Iterator[Message]:
        """The messages that answer the last request, or those from `first` to `last`; what answers
        an earlier one is passed over."""
        first, last = first or self._sequence, last or self._sequence
        while True:
            for answer in messages(self._socket.recv(DATAGRAM_MAX)):
                if first <= answer.sequence <= last:
                    yield answer
