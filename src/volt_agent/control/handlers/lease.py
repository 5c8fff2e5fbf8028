"""net.lease.*"""

from __future__ import annotations

import datetime

from ...dhcp.server import DhcpServer, LeaseView
from ..messages import lease as messages
from ..method import Nothing
from . import Handlers


class LeaseHandlers:
    def __init__(self, server: DhcpServer) -> None:
        self._server = server

    def handlers(self) -> Handlers:
        return {"net.lease.list": self.list}

    async def list(self, params: Nothing) -> list[messages.Lease]:
        return [_view(each) for each in self._server.entries()]


def _view(each: LeaseView) -> messages.Lease:
    lease = each.lease
    expires = datetime.datetime.fromtimestamp(each.expires, datetime.UTC)
    return messages.Lease(
        ip=str(lease.address),
        mac=lease.mac,
        name=lease.workload if lease.behind is None else None,
        network=lease.network,
        expires=expires.isoformat(timespec="seconds").replace("+00:00", "Z"),
        behind=lease.behind,
    )
