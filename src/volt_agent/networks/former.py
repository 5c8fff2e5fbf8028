"""Whether the links of volt's in the kernel are of the state that the agent has.

An agent with an empty or another state directory (a misspelt option, a file system that is not
mounted) would take away what it does not know, and the policies with it, under running workloads.
So it does not start: what the former agent left goes on working, names apart.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import Refused
from ..kernel.state import Mirror
from ..model.snapshot import Snapshot
from .observe import connection_key, foreign_name, is_foreign, network_by_alias

_NAMED = 5


def check_links_known(snapshot: Snapshot, mirror: Mirror, state_dir: str) -> None:
    """Raise Refused if a link that volt made carries a workload the state has never heard of.

    What merely was not finished before a crash is no such link: the state knows its workload still.
    """
    strangers = sorted(_strangers(snapshot, mirror))
    if strangers:
        more = f" and {len(strangers) - _NAMED} more" if len(strangers) > _NAMED else ""
        raise Refused(
            f"the state in {state_dir} knows nothing of {', '.join(strangers[:_NAMED])}{more}, "
            "which volt has connected here: to start would disconnect them",
            "start with the --state-dir that knows them; if that is lost, `volt agent reset` "
            "takes their links away, and volt begins anew",
        )


def _strangers(snapshot: Snapshot, mirror: Mirror) -> Iterator[str]:
    """NETWORK/WORKLOAD of what runs and is unknown."""
    for link in mirror.links.values():
        if not (link.up and link.carrier):
            continue
        key = connection_key(link)
        if key is not None and key.partition("/")[2] not in snapshot.workloads:
            yield key
        network = network_by_alias(mirror.by_index.get(link.master))
        if network is not None and network not in snapshot.networks and is_foreign(link):
            yield f"{network}/{foreign_name(link)}"
