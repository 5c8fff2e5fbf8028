"""What is said over the control socket: parameters and results, one module by command group.

`network`   net.create ... net.status, net.bridge.*
`firewall`  net.firewall.*
`port`      net.port.*
`policy`    net.policy.*
`ingress`   ingress.*
`certificate` ingress.cert.*
`vlan`      net.vlan.*
`names`     net.dns.*
`lease`     net.lease.*
`workload`  ps
`container` container.*
`compose`   compose.*
`tune`      tune.*
`agent`     status, agent.*

Addresses, subnets and times are strings here (times as RFC 3339); nothing of the model is imported,
so that the command line starts fast. Each module ends with its methods; `control.methods` is the
registry of all. Nothing is imported here for the same reason.
"""
