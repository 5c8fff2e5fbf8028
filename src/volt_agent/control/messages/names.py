"""The names that volt's DNS server answers."""

from __future__ import annotations

from msgspec import Struct

from ..method import Method, Nothing, Params


class DnsEntry(Struct, frozen=True, kw_only=True):
    """One record of volt's own zone. `type` is A or PTR."""

    name: str
    type: str
    address: str
    network: str
    workload: str


class Flushed(Struct, frozen=True, kw_only=True):
    """`entries` is how many cached answers were thrown away."""

    entries: int


class QueryName(Params, frozen=True):
    """What would `workload` be told about `name`? None: the host."""

    name: str
    type: str = "A"
    workload: str | None = None


class Record(Struct, frozen=True, kw_only=True):
    """A resource record: `ttl` in seconds, `data` in presentation format (RFC 1035, 5.1)."""

    name: str
    type: str
    ttl: int
    data: str


class Answer(Struct, frozen=True, kw_only=True):
    """What `asker` (a workload, or "host") is told, and why.

    `status` is the rcode by name (NOERROR, NXDOMAIN). `source` is "local", "forwarded" or
    "refused". `view` are the networks whose names the asker sees; `reason` is one sentence.
    """

    name: str
    type: str
    asker: str
    status: str
    source: str
    view: list[str]
    reason: str
    records: list[Record] = []


LIST = Method("net.dns.list", Nothing, list[DnsEntry], "List the names of the workloads")
FLUSH = Method(
    "net.dns.flush", Nothing, Flushed, "Forget cached answers of the upstreams", changes=True
)
QUERY = Method("net.dns.query", QueryName, Answer, "Show what a workload would be told, and why")

METHODS = (LIST, FLUSH, QUERY)
