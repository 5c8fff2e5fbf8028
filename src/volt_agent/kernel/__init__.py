"""The only edge to Linux.

Decisions about the kernel are plain values: a planner returns a list of operations (`ops`), an
`Edge` carries them out. There are two edges, and the same tests run on both: `linux.LinuxEdge` and
`fake.FakeEdge`, which keeps links in memory and refuses what the kernel refuses.

`ops`        what can be asked of the kernel, as frozen values
`state`      what can be seen of it: Link, and the Mirror that netlink messages keep up to date
`edge`       the Edge protocol: execute operations, wait for the mirror, look inside a namespace
`linux`      the real edge: one worker thread for mutations, so that the loop never waits
`watch`      the netlink listener: links, addresses, per-interface settings; resync after ENOBUFS
`netlink`    encoding and decoding of the few messages that are hot
`nft`        nftables transactions through libnftables, in a thread of their own
`tamper`     notices foreign changes of volt's tables (NFNLGRP_NFTABLES)
`conntrack`  deletes tracked connections
`namespaces` enters network namespaces for a moment; is this path one?
"""
