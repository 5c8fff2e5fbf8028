"""The firewall at boot, before the network is up: no moment at which the host stands open.

It is compiled from what the agent has stored, so it is the one that the agent will want, and the
agent finds it in place. Nothing runs yet, so there is no connection to spare and no workload to
plug in.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from msgspec import Struct

from . import config
from .config import Config, ConfigError
from .errors import VoltError
from .firewall import render
from .firewall.incremental import Compiled
from .firewall.ruleset import TABLE_NAME
from .host_inbound import host_policy
from .kernel.host import sshd_ports
from .kernel.nft import Nft
from .model.snapshot import Change, Snapshot
from .options import AgentOptions
from .store import SqliteStore
from .store.sqlite import DATABASE_NAME


class Loaded(Struct, frozen=True):
    """What was done, and what could not be read (sentences)."""

    outcome: Literal["loaded", "kept"]
    problems: tuple[str, ...] = ()


async def load(options: AgentOptions) -> Loaded:
    """Load the stored firewall, unless one of volt's is in force.

    A configuration or store that cannot be read counts as empty: the defaults let in SSH, and leave
    nobody outside who could mend it. Raises KernelRefused.
    """
    nft = Nft()
    try:
        if await nft.listing("inet", TABLE_NAME) is not None:
            return Loaded("kept")
        problems: list[str] = []
        section = _read_config(options, problems).network.firewall
        policy = host_policy(section, sshd_ports(), settling=False)
        stored = await _read_store(Path(options.state_dir), problems)
        snapshot = Snapshot().apply(stored).apply(Change(put=(policy,)))
        await nft.run(render.full(Compiled.of(snapshot).elements()))
        return Loaded("loaded", tuple(problems))
    finally:
        await nft.close()


def _read_config(options: AgentOptions, problems: list[str]) -> Config:
    try:
        return config.load(Path(options.config), required=options.config_named)
    except ConfigError as error:
        problems += error.mistakes
        return Config()


async def _read_store(directory: Path, problems: list[str]) -> Change:
    if not (directory / DATABASE_NAME).exists():
        return Change()
    store = SqliteStore(directory)
    try:
        return await store.open()
    except VoltError as error:
        problems.append(error.message)
        return Change()
    finally:
        await store.close()
