"""`volt agent reset`: takes everything that volt made out of the kernel, and nothing else."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path

from .bus import Bus
from .control.messages.agent import ResetReport
from .errors import VoltError
from .firewall.plane import Firewall
from .kernel.edge import Edge
from .kernel.linux import LinuxEdge
from .kernel.nft import Nft
from .kernel.ops import DeleteLink
from .model.names import ALIAS_PREFIX
from .model.workload import Instance
from .networks.machine_resolvconf import MachineResolvConf
from .networks.resolvconf import ResolvConf

log = logging.getLogger(__name__)

# What the store consists of; nothing else in the state directory is ours to delete here.
STORE_FILES = ("state.db", "state.db-wal", "state.db-shm")


async def remove_everything(
    edge: Edge, firewall: Firewall, instances: Iterable[Instance] = ()
) -> ResetReport:
    """Links that bear volt's alias, both nftables tables, the resolv.conf files.

    `instances` are what runs, as far as known: machines get their own resolv.conf back.
    """
    removed, failed = [], []
    links = [link for link in edge.mirror.links.values() if link.alias.startswith(ALIAS_PREFIX)]
    # Ports before bridges: a bridge that goes first would only let go of its ports.
    for link in sorted(links, key=lambda one: (one.kind == "bridge", one.name)):
        try:
            await edge.execute([DeleteLink(name=link.name)])
            removed.append(f"{'bridge' if link.kind == 'bridge' else 'port'} {link.name}")
        except VoltError as error:
            failed.append(error.message)
    try:
        if await firewall.remove():
            removed.append("the nftables tables inet volt and bridge volt")
    except VoltError as error:
        failed.append(error.message)
    await asyncio.to_thread(ResolvConf().remove_all)
    machines = MachineResolvConf()
    for each in instances:
        if each.runtime == "machined" and each.namespace is not None and each.leader is not None:
            await asyncio.to_thread(machines.restore, each.leader)
    return ResetReport(removed=removed, failed=failed)


async def reset_without_agent(state_dir: Path, purge: bool) -> ResetReport:
    """The same while no agent runs."""
    bus = Bus()
    edge, nft = LinuxEdge(bus), Nft()
    await edge.start()
    try:
        report = await remove_everything(edge, Firewall(nft, bus))
    finally:
        await edge.close()
        await nft.close()
    return with_store(report, state_dir) if purge else report


def with_store(report: ResetReport, state_dir: Path) -> ResetReport:
    """Delete the store as well. Nobody may have it open."""
    removed, failed = [*report.removed], [*report.failed]
    for name in STORE_FILES:
        path = state_dir / name
        try:
            path.unlink()
            removed.append(str(path))
        except FileNotFoundError:
            continue
        except OSError as error:
            failed.append(f"{path}: {error.strerror}")
    return ResetReport(removed=removed, failed=failed)
