"""What the calls of the RPC do, one module by command group, as in `control.messages`.

A handler takes the call's parameters and returns its result; it raises VoltError with what the user
has to know. It decides nothing itself: `networks.decide` and `rules` do. The registry commits, the
reconciler brings the kernel there, and the handler waits for that and shows what came of it.

`network`   net.create ... net.status, net.bridge.*
`vlan`      net.vlan.*
`firewall`  net.firewall.*
`port`      net.port.*
`policy`    net.policy.*
`ingress`   ingress.*
`certificate` ingress.cert.*
`names`     net.dns.*
`lease`     net.lease.*
`workload`  ps
`container` container.*
`compose`   compose.*
`tune`      tune.*
`agent`     status, agent.*
`settle`    waiting for the kernel, with the way back
`views`     from the model to messages (pure)
`built_in`  the rows of `firewall list` that are no rules of users (pure)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

Handler = Callable[[Any], Awaitable[Any]]
Handlers = Mapping[str, Handler]
# Waits until the connections that a change no longer allows are cut.
Cut = Callable[[], Awaitable[None]]
