"""How often one port may ask."""

from __future__ import annotations

# Messages a second, and at once. A client needs four in half an hour; a relay and a port with
# machines behind it speak for many.
RATE, BURST = 10.0, 40.0
RATE_FOR_MANY, BURST_FOR_MANY = 1000.0, 2000.0
# Ports remembered; past it those that are at rest are forgotten.
PORTS_MAX = 4096


class Limiter:
    """A token bucket for each port. Time is the caller's, in seconds."""

    def __init__(self) -> None:
        self._buckets: dict[str, tuple[float, float]] = {}  # port -> tokens, as of when

    def __repr__(self) -> str:
        return f"<Limiter [{len(self._buckets)} ports]>"

    def allows(self, port: str, speaks_for_many: bool, now: float) -> bool:
        """Take a token for one message; False where none is left."""
        rate, burst = (RATE_FOR_MANY, BURST_FOR_MANY) if speaks_for_many else (RATE, BURST)
        tokens, since = self._buckets.get(port, (burst, now))
        tokens = min(burst, tokens + (now - since) * rate)
        if len(self._buckets) >= PORTS_MAX and port not in self._buckets:
            self._forget_idle(now)
        self._buckets[port] = (max(tokens - 1, 0.0), now)
        return tokens >= 1

    def _forget_idle(self, now: float) -> None:
        idle = now - BURST / RATE
        self._buckets = {key: each for key, each in self._buckets.items() if each[1] > idle}
