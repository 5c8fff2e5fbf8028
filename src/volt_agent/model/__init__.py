"""Values without I/O: what users want and what is seen, all of it immutable.

`network`   Network, Connection, Reservation: what users asked for
`lease`     Lease: what DHCP has given
`workload`  Workload (known by name), Instance (it runs), Port (its place on a bridge)
`host`      HostPolicy: what the host itself lets in; FormerSetting: what it was set to;
            TunedSetting: what users set it to
`firewall`  Rule, Policy, Forward; Peer: one end of them
`route`     Route, Backend: what the ingress does
`paths`     paths that can be written in several ways, in one of them
`project`   Project: what a Compose file has made
`ports`     port ranges and protocols, as users write them
`names`     which names are allowed, and the interface names made from them
`lookup`    finding an object by its name, with a hint where there is none
`snapshot`  Snapshot: all of the above at one moment; Change: the step from one to the next
"""
