"""`volt agent reset`: takes everything that volt made out of the kernel, and nothing else."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Collection, Iterable
from pathlib import Path

from .bus import Bus
from .control.messages.agent import ResetReport
from .errors import StoreFailed, VoltError
from .firewall.plane import Firewall
from .ingress.settings import CERTIFICATES_NAME
from .kernel.edge import Edge
from .kernel.host import boot_id
from .kernel.linux import LinuxEdge
from .kernel.nft import Nft
from .kernel.ops import DeleteLink, SetSysctl
from .model.host import FormerSetting
from .model.names import ALIAS_PREFIX
from .model.snapshot import Change
from .model.workload import Instance
from .networks.machine_resolvconf import MachineResolvConf
from .networks.resolvconf import ResolvConf
from .store import SqliteStore, Store
from .store.lock import LOCK_NAME
from .store.sqlite import DATABASE_NAME
from .tune import sysctl_file

# What the store consists of; nothing else in the state directory is ours to delete here.
STORE_FILES = (DATABASE_NAME, f"{DATABASE_NAME}-wal", f"{DATABASE_NAME}-shm")


_KINDS = {"bridge": "bridge", "vlan": "VLAN"}


class _Report:
    """What was removed so far, and what could not be."""

    def __init__(self) -> None:
        self.removed: list[str] = []
        self.failed: list[str] = []

    def done(self) -> ResetReport:
        return ResetReport(removed=self.removed, failed=self.failed)


async def remove_everything(
    edge: Edge,
    firewall: Firewall,
    store: Store,
    former: Collection[FormerSetting],
    instances: Iterable[Instance] = (),
) -> ResetReport:
    """Links that bear volt's alias, both nftables tables, the resolv.conf files; and `former`, the
    settings of the host as they were before volt, which `store` then forgets.

    `instances` are what runs, as far as known: machines get their own resolv.conf back.
    """
    report = _Report()
    await _remove_links(edge, report)
    try:
        if await firewall.remove():
            report.removed.append("the nftables tables inet volt and bridge volt")
    except VoltError as error:
        report.failed.append(error.message)
    await asyncio.to_thread(ResolvConf().remove_all)
    await asyncio.to_thread(_give_back_resolv_confs, list(instances))
    await _restore(edge, store, former, report)
    return report.done()


async def reset_without_agent(state_dir: Path, purge: bool) -> ResetReport:
    """The same while no agent runs. Raises Refused if one uses `state_dir` after all."""
    bus = Bus()
    edge, nft = LinuxEdge(bus), Nft()
    store = SqliteStore(state_dir)
    former, unread = await _open(store)
    await edge.start()
    try:
        report = await remove_everything(edge, Firewall(nft, bus), store, former)
    finally:
        await edge.close()
        await nft.close()
        await store.close()
    if purge:
        return without_store(report, state_dir)
    return ResetReport(removed=report.removed, failed=[*report.failed, *unread])


def without_store(report: ResetReport, state_dir: Path) -> ResetReport:
    """Delete the store, and with it the settings for every boot, and automatic certificates with
    their account. Nobody may have it open."""
    removed, failed = [*report.removed], [*report.failed]
    for name in (*STORE_FILES, LOCK_NAME):
        path = state_dir / name
        try:
            path.unlink()
        except FileNotFoundError:
            continue
        except OSError as error:
            failed.append(f"{path}: {error.strerror}")
        else:
            removed += [str(path)] * (name != LOCK_NAME)  # nobody put anything into it
    certificates = state_dir / CERTIFICATES_NAME
    try:
        shutil.rmtree(certificates)
        removed.append(str(certificates))
    except FileNotFoundError:
        pass  # no route asked for one
    except OSError as error:
        failed.append(f"{certificates}: {error.strerror}")
    _forget_tuning(removed, failed)
    return ResetReport(removed=removed, failed=failed)


def _forget_tuning(removed: list[str], failed: list[str]) -> None:
    """Without the store nobody knows what `volt tune` set: the next boot sets it no more."""
    if not sysctl_file.PATH.exists():
        return
    try:
        sysctl_file.save(sysctl_file.PATH, "")
        removed.append(f"{sysctl_file.PATH}: what it set stays until the next boot")
    except VoltError as error:
        failed.append(error.message)


async def _remove_links(edge: Edge, report: _Report) -> None:
    await edge.execute([])  # behind what was begun before: then that is there, and is seen
    links = [link for link in edge.mirror.links.values() if link.alias.startswith(ALIAS_PREFIX)]
    # Ports before bridges: a bridge that goes first would only let go of its ports.
    for link in sorted(links, key=lambda one: (one.kind == "bridge", one.name)):
        try:
            await edge.execute([DeleteLink(name=link.name)])
            report.removed.append(f"{_KINDS.get(link.kind, 'port')} {link.name}")
        except VoltError as error:
            report.failed.append(error.message)


def _give_back_resolv_confs(instances: Iterable[Instance]) -> None:
    machines = MachineResolvConf()
    for each in instances:
        if each.runtime == "machined" and each.namespace is not None and each.leader is not None:
            machines.restore(each.leader)


async def _restore(
    edge: Edge, store: Store, former: Collection[FormerSetting], report: _Report
) -> None:
    """Settings of an earlier boot are the host's own again: those are only forgotten."""
    try:
        for each in former:
            if each.boot == boot_id() and await edge.read_sysctl(each.name) != each.value:
                await edge.execute([SetSysctl(key=each.name, value=each.value)])
                report.removed.append(f"{each.name}=1: it is {each.value} again, as before volt")
        if former:
            await store.write(Change(delete=tuple(former)))
    except VoltError as error:
        report.failed.append(error.message)


async def _open(store: SqliteStore) -> tuple[list[FormerSetting], list[str]]:
    """The settings to restore; a store that cannot be read is no reason to keep anything else."""
    if not store.path.exists():
        return [], []
    try:
        stored = (await store.open()).put
    except StoreFailed as error:
        return [], [f"{error.message}: net.ipv4.ip_forward stays as it is"]
    return [each for each in stored if isinstance(each, FormerSetting)], []
