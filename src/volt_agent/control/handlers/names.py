"""net.dns.*"""

from __future__ import annotations

from ipaddress import IPv4Address

from ...bus import Bus
from ...dns.server import NameServer
from ...errors import Refused
from ...events import NamesFlushed
from ...model.lookup import check_workload
from ...registry import Registry
from ..messages import names as messages
from ..method import Nothing
from . import Handlers


class NameHandlers:
    def __init__(self, registry: Registry, names: NameServer, bus: Bus) -> None:
        self._registry, self._names, self._bus = registry, names, bus

    def handlers(self) -> Handlers:
        return {
            "net.dns.list": self.list,
            "net.dns.flush": self.flush,
            "net.dns.query": self.query,
        }

    async def list(self, params: Nothing) -> list[messages.DnsEntry]:
        return [
            messages.DnsEntry(
                name=each.name,
                type=each.type,
                address=each.address,
                network=each.network,
                workload=each.workload,
            )
            for each in self._names.entries(self._registry.snapshot)
        ]

    async def flush(self, params: Nothing) -> messages.Flushed:
        entries = self._names.flush()
        self._bus.publish(NamesFlushed(entries=entries))
        return messages.Flushed(entries=entries)

    async def query(self, params: messages.QueryName) -> messages.Answer:
        asking = self._address_of(params.workload) if params.workload is not None else None
        told = await self._names.query(params.name, params.type, asking)
        return messages.Answer(
            name=told.name,
            type=told.type,
            asker=params.workload or told.asker,
            view=[*told.view],
            source=told.source,
            status=told.status,
            reason=told.reason,
            records=[
                messages.Record(name=each.name, type=each.type, ttl=each.ttl, data=each.data)
                for each in told.answers
            ],
        )

    def _address_of(self, workload: str) -> IPv4Address:
        """The address a workload asks from: that of its first network."""
        snapshot = self._registry.snapshot
        check_workload(snapshot, workload)
        addresses = snapshot.addresses_of(workload)
        if not addresses:
            raise Refused(
                f"{workload} is on no network, so it can ask nobody",
                f"volt net connect NETWORK {workload}",
            )
        return addresses[0]
