"""The registry of all calls: what the server accepts and openapi.json describes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .messages import agent, firewall, ingress, names, network, policy, port, workload
from .method import Method

METHODS: Mapping[str, Method[Any, Any]] = {
    each.name: each
    for group in (network, firewall, port, policy, ingress, names, workload, agent)
    for each in group.METHODS
}
