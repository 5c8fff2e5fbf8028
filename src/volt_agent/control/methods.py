"""The registry of all calls: what the server accepts and openapi.json describes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .messages import (
    agent,
    certificate,
    compose,
    container,
    firewall,
    ingress,
    lease,
    names,
    network,
    policy,
    port,
    tune,
    vlan,
    workload,
)
from .method import Method

METHODS: Mapping[str, Method[Any, Any]] = {
    each.name: each
    for group in (
        network,
        vlan,
        firewall,
        port,
        policy,
        names,
        lease,
        ingress,
        certificate,
        tune,
        workload,
        container,
        compose,
        agent,
    )
    for each in group.METHODS
}
