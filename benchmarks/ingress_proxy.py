"""The data path with its counters and access log. Arguments: ports of the two origins, how many
routes, the own port.

Every route has a host of its own (h0.example.com, ...) and leads to the first origin; /post there
leads to the second.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys

from volt_agent import process
from volt_agent.ingress.counters import Counters
from volt_agent.ingress.limits import Limits
from volt_agent.ingress.observer import Observer
from volt_agent.ingress.poller import Poller
from volt_agent.ingress.proxy import Proxy
from volt_agent.ingress.table import RouteTable
from volt_agent.ingress.targets import Endpoint, Target
from volt_agent.model.route import Backend, Route


def target(name: str, port: int) -> Target:
    made = Target(name)
    made.lead_to([Endpoint(("127.0.0.1", port), f"{name}:{port}")])
    return made


async def main(origin: int, bodies: int, routes: int, port: int) -> None:
    poller = Poller()
    poller.start()
    proxy = Proxy(poller, Limits())
    proxy.observer = observer = Observer(Counters(poller.now))
    observer.log_to("/dev/null")
    backends = (Backend("web", 80),)
    made = [Route(f"r{i}", i, f"h{i}.example.com", "/", backends) for i in range(routes)]
    targets = {each.name: target(each.name, origin) for each in made}
    if routes == 1:
        made.append(Route("post", routes, "h0.example.com", "/post", backends))
        targets["post"] = target("post", bodies)
    proxy.table = RouteTable(made, targets)
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    with socket.create_server(("127.0.0.1", port), backlog=4096) as sock:
        listener = proxy.listen(sock)
        await stopped.wait()
        listener.close()
    await proxy.drain(0)
    observer.log_to(None)
    poller.close()


if __name__ == "__main__":
    process.run(main(*map(int, sys.argv[1:])))
