"""Smuggling: whatever a client sends, lax backends see the requests that it got answers to.

The backends here are as careless as any: lines may end in LF alone, names are cut at spaces, and
where a length and a coding contradict each other, one believes the first and one the other. Each
answer names the request that the backend saw. If a backend saw more or other requests than the
proxy, somebody would get the wrong answer.
"""

from __future__ import annotations

import itertools
import random
import re
from collections import defaultdict
from collections.abc import Iterator

import pytest

from tests.ingress.bench import Bench, Peer, Script, bench
from volt_agent.ingress.limits import Limits

HASTY = Limits(head=0.1, idle=0.1, progress=0.1, linger=0.1)
PATIENT = Limits(head=5.0, idle=5.0, progress=5.0, linger=5.0)
_length = re.compile(rb"(?im)^content[-_]length[^:]*:[^0-9]*([0-9]+)").search
_chunked = re.compile(rb"(?im)^transfer[-_]encoding[^:]*:.*chunked").search
_answer = re.compile(rb"X-Saw: ([^\r]*)\r\n")


class Careless:
    """A backend that reads leniently; `saw` are the targets of all requests by case."""

    def __init__(self, *, prefers_length: bool) -> None:
        self._prefers_length = prefers_length
        self.saw: dict[bytes, list[bytes]] = defaultdict(list)

    def serve(self, peer: Peer, _number: int) -> None:
        while True:
            head = self._head(peer)
            target = [*head.split(), b"", b""][1]
            self._body(peer, head)
            self.saw[target.split(b"/")[1] if b"/" in target else b""].append(target)
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Saw: %b\r\n\r\n" % target)

    @staticmethod
    def _line(peer: Peer) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            line += peer.exactly(1)
        return line

    def _head(self, peer: Peer) -> bytes:
        head = b""
        while not head or head.split(b"\n")[-2].strip():
            head += self._line(peer)
            head = head.lstrip()
        return head

    def _body(self, peer: Peer, head: bytes) -> None:
        length, chunked = _length(head), _chunked(head)
        if length is not None and (self._prefers_length or chunked is None):
            peer.exactly(int(length[1]))
        elif chunked is not None:
            while size := int(re.match(rb"\s*([0-9a-fA-F]*)", self._line(peer))[1] or b"0", 16):  # type: ignore[index]
                peer.exactly(size)
                self._line(peer)
            while self._line(peer).strip():
                pass


# ---- what is sent -------------------------------------------------------------------------------

FRAMINGS = (
    *(b"Content-Length: %b" % each for each in (b"0", b"5", b"+5", b"5 5", b"5,5", b"0x5", b"-1")),
    *(
        b"Content-Length%b5" % each
        for each in (b" : ", b"\t:", b":\x0b", b":\n ", b"\x00:", b": \r")
    ),
    *(b"Transfer-Encoding: %b" % each for each in (b"chunked", b"CHUNKED", b"identity", b"x")),
    *(
        b"Transfer-Encoding: %b" % each
        for each in (b"chunked, identity", b"gzip, chunked", b"\x0bchunked", b"chunked\x00")
    ),
    *(
        b"Transfer-Encoding%bchunked" % each
        for each in (b" : ", b"\t:", b":\r\n ", b":\n", b"\x00: ")
    ),
    b"transfer_encoding: chunked",
    b"content_length: 5",
    b"X: y\nTransfer-Encoding: chunked",
    b"X: y\rTransfer-Encoding: chunked",
    b"X: y\r\n\tTransfer-Encoding: chunked",
    b"Connection: Transfer-Encoding",
    b"Connection: close, Content-Length",
    b"Expect: 100-continue",
    b"Upgrade: websocket\r\nConnection: upgrade",
    b"Host: b",
)
TEMPTING = (
    *(b"Content-Length: 0", b"Content-Length: 5", b"Transfer-Encoding: chunked"),
    *(b"Transfer-Encoding: CHUNKED", b"transfer_encoding: chunked", b"content_length: 5"),
)
LINES = (
    b"POST /%b HTTP/1.1",
    b"GET /%b HTTP/1.1",
    b"POST http://a/%b HTTP/1.1",
    b"POST /%b HTTP/1.0",
)
ENDS = (b"\r\n", b"\n", b"\r")


def bodies(case: bytes) -> tuple[bytes, ...]:
    hidden = b"GET /%b/hidden HTTP/1.1\r\nHost: a\r\n\r\n" % case
    return (
        b"hello",
        hidden,
        b"0\r\n\r\n" + hidden,
        b"%x\r\n%b\r\n0\r\n\r\n" % (len(hidden), hidden),
        b"%x;x=\n\r\n%b\r\n0\r\n\r\n" % (len(hidden), hidden),
        b"5\r\nhello\r\n0\r\nContent-Length: 50\r\n\r\n" + hidden,
        b"05\r\nhello\r\n00\r\n\r\n" + hidden,
        b"5\nhello\n0\n\n" + hidden,
    )


def mutations(seconds: tuple[bytes, ...], ends: tuple[bytes, ...]) -> Iterator[bytes]:
    """Every framing, with every second one, in every line, with every body and end of line."""
    number = itertools.count()
    for first, second, line, end in itertools.product(FRAMINGS, seconds, LINES, ends):
        case = b"c%d" % next(number)
        for at, body in enumerate(bodies(case)):
            name = b"%b-%d" % (case, at)
            fields = [line % name, b"Host: a", first, *([second] if second else [])]
            yield end.join(fields) + b"\r\n\r\n" + body.replace(case, name)


def check(made: Bench, origins: list[Careless], sent: list[bytes]) -> tuple[int, list[bytes]]:
    """Send each on a connection of its own; how many requests were answered by a backend, and in
    which cases the backends saw others than those."""
    clients = []
    for each in sent:
        client = made.client()
        client.send(each + b"GET /%b/last HTTP/1.1\r\nHost: a\r\n\r\n" % case_of(each))
        clients.append(client)
    answered, wrong = 0, []
    for each, client in zip(sent, clients, strict=True):
        got = _answer.findall(client.rest())
        client.close()
        saw = [target for origin in origins for target in origin.saw.pop(case_of(each), [])]
        if sorted(saw) != sorted(got):
            wrong.append(each)
        answered += len(got)
    made.forget_clients()
    late = {case for origin in origins for case in list(origin.saw)}
    assert late <= set(map(case_of, sent)), "requests of nobody"
    for origin in origins:
        origin.saw.clear()
    return answered, wrong + [each for each in sent if case_of(each) in late and each not in wrong]


def case_of(sent: bytes) -> bytes:
    found = re.search(rb"/(c\d+-\d)", sent)
    assert found is not None
    return found[1]


def run(cases: list[bytes]) -> int:
    """In crowds of 200: many connections end by time-out. How many requests were answered.

    On a busy machine one may end so before a backend's answer comes: what looks wrong is tried
    once more, alone and with all the time there is.
    """
    answered, wrong = attempt(cases, HASTY, 0.2)
    if wrong:
        assert attempt(wrong, PATIENT, 5.0)[1] == []
    return answered


def attempt(cases: list[bytes], limits: Limits, timeout: float) -> tuple[int, list[bytes]]:
    origins = [Careless(prefers_length=True), Careless(prefers_length=False)]
    scripts: list[Script] = [each.serve for each in origins]
    with bench(*scripts, limits=limits, timeout=timeout) as made:
        found = [
            check(made, origins, cases[start : start + 200]) for start in range(0, len(cases), 200)
        ]
    return sum(each[0] for each in found), [case for each in found for case in each[1]]


def test_no_single_framing_splits_a_request() -> None:
    """With everything else as it should be; many of them are served."""
    assert run(list(mutations((b"",), (b"\r\n",)))) > 200


def test_no_contradiction_splits_a_request() -> None:
    """Pairs of framings of which each alone would do: one of both would be believed."""
    pairs = list(mutations(TEMPTING, (b"\r\n",)))
    run([each for each in pairs if each.split(b"\r\n")[2] in TEMPTING])


def test_no_pair_of_framings_splits_a_request() -> None:
    """1,000 of them, chosen at random."""
    run(random.Random(5).sample(list(mutations(FRAMINGS, ENDS)), 1000))


@pytest.mark.long
def test_no_mutation_at_all_splits_a_request() -> None:
    """All of them."""
    run(list(mutations((b"", *FRAMINGS), ENDS)))
