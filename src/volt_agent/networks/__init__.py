"""Networks: who is connected where, and the links and addresses that follow.

`subnets`    which subnets a network may have, and the next free one (pure)
`allocate`   which address and MAC a connection gets (pure)
`decide`     what create, delete, connect and disconnect change (pure: Snapshot -> Change)
`default`    the default network, as the configuration has it (pure)
`lifecycle`  what a workload's start, stop and end change (pure)
`plan`       what is to be asked of the kernel for a network or a connection (pure: -> operations)
`observe`    what the kernel's links mean: ports and foreign instances (pure)
`former`     whether the links in the kernel are of the state that the agent has (pure)
`forwarding` net.ipv4.ip_forward, and what it was before (pure)
`strangers`  ports of others that no rule would hold: they are turned away
`patience`   how often one thing is repaired (pure)
`reconcile`  the task that brings kernel and snapshot together, level-triggered
`resolvers`  gives workloads their resolv.conf: `resolvconf` to named namespaces,
             `machine_resolvconf` to machines
"""
