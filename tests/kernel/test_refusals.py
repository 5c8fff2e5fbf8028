"""Every refusal is one line that names the operation, with the kernel's reason in plain words."""

from __future__ import annotations

import errno
import os
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

import pytest

from tests.kernel.samples import bridge, tap, veth
from volt_agent.kernel.netlink import NetlinkError
from volt_agent.kernel.ops import (
    AddAddress,
    AddRoute,
    DeleteAddress,
    DeleteLink,
    DeleteRoute,
    Op,
    ReleasePort,
    SetLink,
    SetNeighbour,
    SetSysctl,
)
from volt_agent.kernel.refusals import Explained, refused, translate

ROUTE: dict[str, Any] = {
    "name": "eth0",
    "destination": IPv4Network("0.0.0.0/0"),
    "gateway": IPv4Address("10.0.0.1"),
}
ADDRESS: dict[str, Any] = {"name": "eth0", "address": IPv4Interface("10.0.0.2/24")}


@pytest.mark.parametrize(
    ("op", "deed"),
    [
        (bridge(), "create bridge volt-backend"),
        (veth("/run/netns/x"), "attach vc-1 to volt-backend"),
        (tap(), "create tap vt-1 on volt-backend"),
        (SetLink(name="eth0", up=True), "change eth0"),
        (SetLink(name="eth0", namespace="/run/netns/x"), "change eth0 in /run/netns/x"),
        (DeleteLink(name="eth0"), "delete eth0"),
        (ReleasePort(name="eth0", index=2), "take eth0 off its bridge"),
        (AddAddress(**ADDRESS), "add 10.0.0.2/24 to eth0"),
        (DeleteAddress(**ADDRESS), "remove 10.0.0.2/24 from eth0"),
        (AddRoute(**ROUTE), "add a route to 0.0.0.0/0 through 10.0.0.1 on eth0"),
        (DeleteRoute(**ROUTE), "remove the route to 0.0.0.0/0 through 10.0.0.1 on eth0"),
        (
            SetNeighbour(name="eth0", address=IPv4Address("10.0.0.2"), mac="02:00:00:00:00:02"),
            "tell where 10.0.0.2 is on eth0",
        ),
        (SetSysctl(key="net.a", value="1"), "set net.a to 1"),
    ],
)
def test_each_operation_has_its_sentence(op: Op, deed: str) -> None:
    """With a reason behind the colon."""
    error = refused(op, OSError(errno.EBUSY, ""))
    assert error.message == f"cannot {deed}: another process uses it"
    assert error.errno == errno.EBUSY


@pytest.mark.parametrize(
    ("error", "reason", "hint"),
    [
        (NetlinkError(errno.EPERM, "Operation not permitted"), "not permitted", "CAP_NET_ADMIN"),
        (OSError(errno.EXFULL, "Exchange full"), "the bridge has 1023 ports", "several networks"),
        (OSError(errno.EROFS, ""), "/proc/sys is mounted read-only", "read-write"),
        (NetlinkError(errno.EINVAL, "mtu less than minimum"), "mtu less than minimum", None),
        (OSError(errno.EIO, ""), os.strerror(errno.EIO), None),
        (Explained(errno.EPERM, "our own words"), "our own words", None),
    ],
)
def test_reasons_are_plain_words(error: OSError, reason: str, hint: str | None) -> None:
    """Ours where we have better ones, the kernel's where it gave any, those of errno else."""
    told = refused(DeleteLink(name="eth0"), error)
    assert f": {reason}" in told.message
    assert (told.hint is None) == (hint is None)
    assert hint is None or hint in str(told.hint)


def test_a_refusal_is_one_line() -> None:
    """Whatever was asked for."""
    error = refused(SetSysctl(key="net.a", value="1\n2"), OSError(errno.EINVAL, "no\nway"))
    assert error.message == "cannot set net.a to 1 2: no way"


def test_a_message_is_text_whatever_the_name_was() -> None:
    """The path of a namespace can hold bytes that are no UTF-8; messages travel as JSON."""
    error = translate("cannot look into /run/netns/web\udcff", OSError(errno.ENOENT, "gone"))
    assert error.message.isprintable()
    error.message.encode()
