"""The only edge to Linux.

Decisions about the kernel are plain values: a planner returns a list of operations (`ops`), an
`Edge` carries them out. There are two edges, and the same tests run on both: `linux.LinuxEdge` and
`fake.FakeEdge`, which keeps links in memory and refuses what the kernel refuses.

What the rest of volt sees:

`ops`        what can be asked of the kernel, as frozen values
`state`      what can be seen of it: Link, and the Mirror that netlink messages keep up to date
`edge`       the Edge protocol: execute operations, wait for the mirror, look inside a namespace
`linux`      the real edge; its calls run in three `worker` threads, so that the loop never waits
`fake`       the other one (`fake_kernel` carries out, `fake_space` is one of its namespaces)
`host`       who listens on the host's ports, where sshd does, whether br_netfilter is there
`pyroute`    the parts of pyroute2 that encode rare messages, imported when used
`claim`      one agent per network namespace
`namespaces` enters network namespaces for a moment; is this path one?
`nft`        nftables transactions through libnftables, in a thread of their own
`attempt`    tries a connection from inside a namespace
`tamper`     notices foreign changes of volt's tables (NFNLGRP_NFTABLES)

How operations are carried out, in a worker thread:

`actions`    each operation in its namespace, in order; `link_actions` those on links, `tap` taps,
             `bridges` what only bridges have, `sysctl` settings
`looking`    what is inside a namespace
`conntrack`  deletes tracked connections; `host_sockets` closes the host's own ends of them
`refusals`   the kernel's errnos as sentences

How the mirror is kept, on the loop:

`watch`      links, addresses, per-interface settings of the own namespace; `mirroring` says what a
             message changes, `reading` reads everything at the start and after losses
`inside_watch`   changes in the namespaces behind the ports
`subscription`   the listening socket of both

Netlink itself: `netlink` the format, `netlink_socket` asking, `link_messages` and `ip_messages`
what is said about links, addresses and routes.
"""
