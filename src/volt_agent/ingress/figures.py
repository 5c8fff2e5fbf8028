"""Live figures from what was counted: for `ingress status`, and as text for Prometheus."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import accumulate

from msgspec import Struct

from .counters import BOUNDS, Counters, Refusal, Traffic, quantile
from .health import Standing
from .observer import Observer
from .proxy import Proxy
from .targets import Endpoint, Target

# Routes that have time series of their own, the oldest; the others share one. 200 take the loop a
# few milliseconds at each scrape, and a series that comes and goes would be worth nothing.
ROUTES_SHOWN = 200
OTHERS = "(others)"
_AT_ONCE = 64  # routes whose figures are made in one turn of the loop
# Every eighth bound: a factor of four from one to the next.
_SHOWN = range(11, len(BOUNDS) - 8, 8)
_CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")


class RouteFigures(Struct, frozen=True):
    """A route since the agent started. `rate` in requests per second over the last minute; `p50`
    and `p99` in seconds, of the last minute or two, None without requests then."""

    name: str
    requests: int = 0
    errors: int = 0
    in_flight: int = 0
    tunnels: int = 0
    received: int = 0
    sent: int = 0
    rate: float = 0.0
    p50: float | None = None
    p99: float | None = None


class Figures(Struct, frozen=True):
    """The ingress since the agent started. `uptime` in seconds, `rate` as for a route;
    `connections` are those open, with a tunnel counted once; `unrouted` the requests that no route
    answered."""

    uptime: float
    connections: int
    tunnels: int
    requests: int
    unrouted: int
    rate: float
    routes: Sequence[RouteFigures]


async def figures(
    proxy: Proxy, counters: Counters, targets: Collection[Target], now: float
) -> Figures:
    """Everything; `now` is monotonic. Lets others have the loop on its way."""
    tunnels = tunnels_of(proxy)
    routes = []
    for number, each in enumerate([*targets]):
        if number % _AT_ONCE == _AT_ONCE - 1:
            await asyncio.sleep(0)
        routes.append(_route(each, tunnels[each], now))
    count = sum(tunnels.values())
    return Figures(
        uptime=now - counters.started,
        connections=len(proxy.clients) + count,
        tunnels=count,
        requests=counters.requests,
        unrouted=counters.unrouted.requests,
        rate=counters.unrouted.rate(now) + sum(each.rate for each in routes),
        routes=routes,
    )


def tunnels_of(proxy: Proxy) -> Counter[Target | None]:
    """Open tunnels by target. Each has two ends."""
    ends = Counter(proxy.tunnels.values())
    return Counter({target: (count + 1) // 2 for target, count in ends.items()})


def _route(target: Target, tunnels: int, now: float) -> RouteFigures:
    in_flight = sum(each.outstanding for each in target.endpoints)
    traffic: Traffic | None = target.bits
    if traffic is None:
        return RouteFigures(target.name, in_flight=in_flight, tunnels=tunnels)
    latest = traffic.latest(now)
    return RouteFigures(
        target.name,
        requests=traffic.requests,
        errors=traffic.errors,
        in_flight=in_flight,
        tunnels=tunnels,
        received=traffic.received,
        sent=traffic.sent,
        rate=traffic.rate(now),
        p50=quantile(latest, 0.5),
        p99=quantile(latest, 0.99),
    )


# ---- Prometheus ---------------------------------------------------------------------------------


def exposition(
    proxy: Proxy,
    observer: Observer,
    targets: Collection[Target],
    standing: Callable[[Endpoint], Standing],
) -> str:
    """Every family in Prometheus' text format 0.0.4, with a line break at its end."""
    counters, log = observer.counters, observer.log
    shown = [*_labelled(targets, counters)]
    tunnels = tunnels_of(proxy)
    encrypted = sum(each.is_tls for each in proxy.clients)
    held = proxy.keeper.held if proxy.keeper is not None else 0
    opened = {"http": len(proxy.clients) - encrypted, "https": encrypted}
    families = (
        _family("connections", "gauge", "Open connections", _by("listener", opened)),
        _family("tunnels", "gauge", "Open tunnels", [("", sum(tunnels.values()))]),
        _family("tunnels_held", "gauge", "Tunnels that would outlive a crash", [("", held)]),
        _family("refused_total", "counter", "Connections refused", _by("reason", counters.refused)),
        _family(
            "access_log_lost_total",
            "counter",
            "Lines that the access log lost",
            [("", log.lost if log is not None else 0)],
        ),
        _family("requests_total", "counter", "Finished requests", _requests(shown)),
        _family(
            "received_bytes_total",
            "counter",
            "Bytes of request bodies",
            ((f'{{route="{name}"}}', each.received) for name, each in shown),
        ),
        _family(
            "sent_bytes_total",
            "counter",
            "Bytes of bodies of answers",
            ((f'{{route="{name}"}}', each.sent) for name, each in shown),
        ),
        _family("backend_healthy", "gauge", "Usable backends", _backends(targets, standing)),
        _durations(shown),
    )
    return "".join(families)


_Samples = Iterator[tuple[str, int]] | Sequence[tuple[str, int]]


def _family(name: str, kind: str, text: str, samples: _Samples) -> str:
    name = f"volt_ingress_{name}"
    lines = [f"{name}{labels} {value}\n" for labels, value in samples]
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n" + "".join(lines)


def _by(label: str, values: Mapping[str, int] | Mapping[Refusal, int]) -> _Samples:
    return [(f'{{{label}="{key}"}}', value) for key, value in values.items()]


def _labelled(targets: Collection[Target], counters: Counters) -> Iterator[tuple[str, Traffic]]:
    """Traffic by the value of the label `route`; "" is for requests without one."""
    yield "", counters.unrouted
    used = [each for each in targets if each.bits is not None]
    for each in used[:ROUTES_SHOWN]:
        yield each.name, each.bits
    if used[ROUTES_SHOWN:]:
        yield OTHERS, _together([each.bits for each in used[ROUTES_SHOWN:]])


def _together(parts: Sequence[Traffic]) -> Traffic:
    """Their sum, as far as it is shown."""
    made = Traffic(0.0)
    made.classes = [sum(column) for column in zip(*(each.classes for each in parts), strict=True)]
    made.received = sum(each.received for each in parts)
    made.sent = sum(each.sent for each in parts)
    made.seconds = sum(each.seconds for each in parts)
    made.recent = [sum(column) for column in zip(*(each.whole() for each in parts), strict=True)]
    return made


def _requests(shown: Sequence[tuple[str, Traffic]]) -> Iterator[tuple[str, int]]:
    for name, traffic in shown:
        for index, label in enumerate(_CLASSES, 1):
            yield f'{{route="{name}",code="{label}"}}', traffic.classes[index]


def _backends(
    targets: Collection[Target], standing: Callable[[Endpoint], Standing]
) -> Iterator[tuple[str, int]]:
    for target in [*targets][:ROUTES_SHOWN]:
        for each in target.endpoints:
            address = "{}:{}".format(*each.address)
            labels = f'{{route="{target.name}",backend="{each.backend}",address="{address}"}}'
            yield labels, int(standing(each).is_usable)


def _durations(shown: Sequence[tuple[str, Traffic]]) -> str:
    head = (
        f"# HELP {_DURATION} Time from the head of a request to the end of its answer\n"
        f"# TYPE {_DURATION} histogram\n"
    )
    return head + "".join(_duration(name, traffic) for name, traffic in shown)


def _duration(route: str, traffic: Traffic) -> str:
    totals = list(accumulate(traffic.whole()))
    counts = [totals[index] for index in _SHOWN]
    # One formatting for all lines: a tenth of the time of one for each.
    return _LINES.replace("ROUTE", route) % (*counts, totals[-1], traffic.seconds, totals[-1])


_DURATION = "volt_ingress_request_duration_seconds"
_LINES = (
    "".join(
        f'{_DURATION}_bucket{{route="ROUTE",le="{bound}"}} %d\n'
        for bound in (*(f"{BOUNDS[index]:g}" for index in _SHOWN), "+Inf")
    )
    + f'{_DURATION}_sum{{route="ROUTE"}} %.6f\n{_DURATION}_count{{route="ROUTE"}} %d\n'
)
