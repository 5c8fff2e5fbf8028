"""Real packets in a private machine, asked for from outside; `traffic` sends them, inside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from .process import PATIENCE, wait_until
from .traffic import Attempt, Outcome


class TrafficControl:
    """Servers, probes, names and streams in a machine: "host", "outside" or a workload by name.

    `do` hands a request to the machine's first process and returns what it says.
    """

    def __init__(self, do: Callable[..., Any]) -> None:
        self._do = do

    def serve(
        self, where: str, tcp: Sequence[int] = (), udp: Sequence[int] = (), **how: Any
    ) -> None:
        """Echo on these ports, on all addresses."""
        self._do("serve", where=where, tcp=list(tcp), udp=list(udp), **how)

    def probe(self, attempts: Sequence[Attempt], within: float = 1.2) -> list[Outcome]:
        """Make all attempts at once; what came of each."""
        given = msgspec.to_builtins(attempts)
        return [Outcome(**each) for each in self._do("probe", attempts=given, within=within)]

    def reaches(self, source: str, target: str, protocol: str = "tcp", port: int = 0) -> bool:
        """Whether one attempt is answered."""
        return self.probe([Attempt(source, target, protocol, port)])[0].answered

    def query(self, where: str, server: str, name: str, **how: Any) -> dict[str, Any]:
        """Ask a DNS server from a namespace; see `names_on_wire.query`."""
        answer: dict[str, Any] = self._do("query", where=where, server=server, name=name, **how)
        return answer

    def await_name(
        self, where: str, server: str, name: str, address: str | None, within: float = PATIENCE
    ) -> float:
        """When (monotonic) `name` first resolved to `address`; None: to nothing."""
        return float(
            self._do(
                "await_name", where=where, server=server, name=name, address=address, within=within
            )
        )

    def start_stream(self, kind: str, **how: Any) -> int:
        """Start a stream of `streams`; end it with `stop_stream`, which reports."""
        return int(self._do("start_stream", kind=kind, **how))

    def await_progress(
        self, numbers: Sequence[int], more: int = 1, within: float = PATIENCE
    ) -> float:
        """Wait until each of these streams has received `more`; how long that took (seconds)."""
        return float(self._do("await_progress", numbers=list(numbers), more=more, within=within))

    def await_stream(self, number: int, more: int = 20, within: float = PATIENCE) -> None:
        """Wait until a stream has received `more` answers or lines than now."""
        goal = self._do("progress", number=number) + more
        wait_until(lambda: self._do("progress", number=number) >= goal, "the stream flows", within)

    def stop_stream(self, number: int) -> dict[str, Any]:
        report: dict[str, Any] = self._do("stop_stream", number=number)
        return report

    def await_answer(self, attempt: Attempt, within: float = PATIENCE) -> None:
        """Try until an answer comes; raises TimeoutError."""
        wait_until(lambda: self.probe([attempt], 0.3)[0].answered, f"{attempt} is answered", within)
