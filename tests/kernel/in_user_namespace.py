"""Run by test_user_namespace as root of a user namespace: a container's life, told as JSON."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import Any

from tests.kernel.samples import attach, bridge_up, tap
from tests.kernel.worlds import LinuxWorld, of_type, until
from volt_agent.errors import KernelRefused
from volt_agent.events import InsideChanged
from volt_agent.kernel.edge import Flow
from volt_agent.kernel.ops import DeleteLink, SetLink, SetSysctl


async def live() -> dict[str, Any]:
    async with LinuxWorld() as world:
        edge, told = world.edge, dict[str, Any]()
        namespace = world.add_namespace()
        await edge.execute([*bridge_up(), *attach(namespace)])
        told["netfilter"] = edge.mirror.links["volt-backend"].netfilter
        told["port"] = edge.mirror.links["vc-1"].up
        told["inside"] = sorted((await edge.inside(namespace)).links)
        told["ipv6"] = await edge.read_sysctl("net/ipv6/conf/volt-backend/disable_ipv6")
        await edge.execute([SetSysctl(key="net.ipv4.ip_forward", value="1")])
        told["forwarding"] = await edge.read_sysctl("net.ipv4.ip_forward")
        world.events.clear()
        world.by_hand(SetLink(namespace=namespace, name="eth0", mtu=1400))
        await until(lambda: of_type(world.events, InsideChanged) != [], "inside is heard")
        told["forgotten"] = await edge.forget_flows([Flow(protocol=17)])
        try:
            await edge.execute([tap()])
            told["tap"] = "made"
        except KernelRefused as error:
            told["tap"] = error.message
        await edge.execute([DeleteLink(name="vc-1"), DeleteLink(name="volt-backend")])
        told["left"] = sorted(edge.mirror.links)
        return told


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(message)s", level=logging.INFO)
    print(json.dumps(asyncio.run(live())))
