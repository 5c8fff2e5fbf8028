"""volt: the host networking agent, and `volt`, its command line.

Eleven words, each with one meaning in the code, the RPC, the command line and the documents:

* **Event**: something that happened, frozen (`events`). Observations come from `kernel` and
  `runtimes`; outcomes come from the registry and the planes.
* **Workload**: a container or a virtual machine, known by its name (`model.workload`).
* **Network**: a bridge with a subnet, which workloads are connected to (`model.network`).
* **Snapshot**: everything that is wanted and everything that is seen, immutable
  (`model.snapshot`). The registry publishes a new one for every change.
* **Store**: what users asked for, on disk (`store`).
* **Edge**: the only way to the Linux kernel (`kernel`), with a fake that refuses what it refuses.
* **Ruleset**: what the snapshot compiles to in nftables (`firewall`).
* **Rule**, **Policy**, **Forward**: who may reach whom, and by which port of the host
  (`model.firewall`). `rules` decides about the requests, `firewall` about the packets.
* **Route**: from a host name and a path to backends (`model.route`, `ingress`).

Who talks to whom::

    kernel (netlink) --+                                  +--> firewall   one nft transaction
    runtimes ----------+--> events --> bus --> registry --+--> networks   links, addresses, ports
    control RPC -------+      (one writer: store, then    +--> dns        answers from the snapshot
                               an immutable Snapshot)     +--> dhcp       leases from its addresses
                                                          +--> ingress    routes to its workloads

`agent` is the composition root and the only module that knows all the parts. Beside it stand those
that are about several of them: `settings` (what each is told of the configuration), `gateways` (the
servers at the gateway of every network), `host_doors` (what the host itself lets in),
`late_ingress` (loaded when it is needed), `live` (reload, and parts switched on and off), `upkeep`
(what others break is mended), `reset`. It loads `control_plane` last, which answers over the
sockets. `serve` is an agent with nothing but the ingress.

`cli` is a separate program: of the agent it imports `control.client` and `control.messages` only,
and `compose` reads files for it. `boot_firewall` loads the stored firewall before the network is
up; `switches` says which parts of the agent are on. How all of it is installed is in `contrib` and
`scripts/package`.

To add a command: its message (`control.messages`), its handler (`control.handlers`), its function
(`cli`), and a test. To add a plane: a follower of the registry, started by `agent`.
"""

__version__ = "0.1.0"
