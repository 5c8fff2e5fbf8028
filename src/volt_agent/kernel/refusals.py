"""The kernel's refusals in words: what was asked, why not, and what to do about it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import KernelRefused
from .namespaces import open_namespace
from .ops import (
    AddAddress,
    AddBridge,
    AddRoute,
    AddTap,
    AddVeth,
    AddVlan,
    DeleteAddress,
    DeleteLink,
    DeleteRoute,
    Op,
    ReleasePort,
    SetLink,
    SetNeighbour,
    SetSysctl,
)

# BR_MAX_PORTS (net/bridge/br_private.h) is 1024, and port number 0 is reserved (find_portno).
PORTS_MAX = 1023


class Explained(OSError):
    """A refusal whose `strerror` was written by us, for users."""


_DEEDS: dict[type[Op], str] = {
    AddBridge: "create bridge {0.name}",
    AddVeth: "attach {0.name} to {0.master}",
    AddTap: "create tap {0.name} on {0.master}",
    AddVlan: "create VLAN {0.id} of {0.parent}",
    SetLink: "change {0.name}",
    DeleteLink: "delete {0.name}",
    ReleasePort: "take {0.name} off its bridge",
    AddAddress: "add {0.address} to {0.name}",
    DeleteAddress: "remove {0.address} from {0.name}",
    AddRoute: "add a route to {0.destination} through {0.gateway} on {0.name}",
    DeleteRoute: "remove the route to {0.destination} through {0.gateway} on {0.name}",
    SetNeighbour: "tell where {0.address} is on {0.name}",
    SetSysctl: "set {0.key} to {0.value}",
}

_PRIVILEGES = (
    "the agent needs CAP_NET_ADMIN, and CAP_SYS_ADMIN over the namespaces it enters: run it as root"
)
# errno -> (reason, hint). What is missing here is said in the kernel's own words.
_REASONS: dict[int, tuple[str, str | None]] = {
    errno.EPERM: ("not permitted", _PRIVILEGES),
    errno.EACCES: ("not permitted", _PRIVILEGES),
    errno.EROFS: ("/proc/sys is mounted read-only", "mount it read-write for the agent"),
    errno.EXFULL: (
        f"the bridge has {PORTS_MAX} ports, the kernel's limit",
        "spread the workloads over several networks",
    ),
    errno.ENODEV: ("there is no such interface", None),
    errno.EEXIST: ("there is one already", None),
    errno.ENETUNREACH: (
        "the gateway cannot be reached there",
        "the interface has to be up, with an address of the gateway's subnet",
    ),
    errno.EADDRNOTAVAIL: ("the MAC address cannot be used", "it has to be a unicast address"),
    errno.EBUSY: ("another process uses it", None),
    errno.ENOMEM: ("the kernel is out of memory", None),
    errno.ENOBUFS: ("the kernel is out of memory", None),
}


def refused(op: Op, error: OSError) -> KernelRefused:
    """The error for users of `op`, which failed with `error`."""
    deed = _DEEDS[type(op)].format(op)
    if op.namespace is not None:
        deed += f" in {op.namespace}"
    return translate(f"cannot {deed}", error)


def translate(what: str, error: OSError) -> KernelRefused:
    """`what` failed with `error`: one line, and a hint where there is one."""
    number = error.errno or 0
    reason, hint = error.strerror or os.strerror(number), None
    if number in _REASONS and not isinstance(error, Explained):
        reason, hint = _REASONS[number]
    message = " ".join(f"{what}: {reason}".split())
    # The path of a namespace can hold bytes that are no UTF-8 (PEP 383); a message travels as JSON.
    message = message.encode("utf-8", "backslashreplace").decode()
    return KernelRefused(message, number, hint)


def no_vlans(op: AddVlan, error: OSError) -> Explained:
    """The refusal of a kernel that knows no VLANs, or of a parent that can carry none."""
    said = error.strerror or ""
    if "device type" in said:  # "Unknown device type" (rtnl_newlink in net/core/rtnetlink.c)
        said = "this kernel has no VLANs: it needs the module 8021q"
    return Explained(errno.EOPNOTSUPP, said or f"{op.parent} cannot carry VLANs")


@contextmanager
def unless(*done: int) -> Iterator[None]:
    """Take these errnos for success: it is done already."""
    try:
        yield
    except OSError as error:
        if error.errno not in done:
            raise


def open_for(namespace: str) -> int:
    """A descriptor of a network namespace; the caller closes it. Raises Explained."""
    try:
        return open_namespace(namespace)
    except FileNotFoundError as error:
        raise Explained(errno.ENOENT, f"{namespace} is gone") from error
    except OSError as error:
        words = f"{namespace} cannot be opened ({error.strerror})"
        raise Explained(error.errno, words) from error
