"""Who may have how many questions on their way, so that one asker does not starve the others."""

from __future__ import annotations

# Questions on their way at a time; each has a socket or two. dnsmasq has 150, unbound 1,024 per
# thread.
FLIGHTS_MAX = 512
# Of those, questions that one address has started.
FLIGHTS_PER_CLIENT = 128
# Askers that wait for an answer: of one address, and of all. Who joins a question that is on its
# way anyhow costs nothing but memory.
WAITING_PER_CLIENT = 1024
WAITING_MAX = 8192


class Admission:
    """Counts flights (by who started them) and those who wait, by client."""

    def __init__(self) -> None:
        self.flights: dict[str, int] = {}
        self.waiting: dict[str, int] = {}
        self.flights_in_all = self.waiting_in_all = 0

    def __repr__(self) -> str:
        return f"<Admission [{self.flights_in_all} flights, {self.waiting_in_all} waiting]>"

    def may_wait(self, client: str) -> bool:
        return (
            self.waiting_in_all < WAITING_MAX and self.waiting.get(client, 0) < WAITING_PER_CLIENT
        )

    def may_start(self, client: str) -> bool:
        """Whether `client` is below its own limit; whether there is room is another question."""
        return self.flights.get(client, 0) < FLIGHTS_PER_CLIENT

    @property
    def is_full(self) -> bool:
        return self.flights_in_all >= FLIGHTS_MAX

    def who_yields_to(self, client: str) -> str | None:
        """When there is no room: the client with most flights, if it has more than `client`."""
        heaviest, count = max(self.flights.items(), key=lambda each: each[1])
        return heaviest if count > self.flights.get(client, 0) + 1 else None

    def start(self, client: str) -> None:
        self.flights[client] = self.flights.get(client, 0) + 1
        self.flights_in_all += 1

    def end(self, client: str) -> None:
        self.flights_in_all -= 1
        _take(self.flights, client)

    def join(self, client: str) -> None:
        self.waiting[client] = self.waiting.get(client, 0) + 1
        self.waiting_in_all += 1

    def leave(self, client: str) -> None:
        self.waiting_in_all -= 1
        _take(self.waiting, client)


def _take(counts: dict[str, int], client: str) -> None:
    left = counts[client] - 1
    if left:
        counts[client] = left
    else:
        del counts[client]
