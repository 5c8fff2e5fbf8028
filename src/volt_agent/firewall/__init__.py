"""The firewall: compiled from the snapshot, applied in one transaction.

`ruleset`      the words: Table, Chain, Hook, Set, Counter; Element and Delta
`inet`         one table as data: every chain with its hook, every rule of the default policy
`bridge`       the other: the guard of each port, and what strict ones get from others
`tables`       both, with their sets and counters by name
`compile`      from one object to its elements: networks, connections, ports, the host's policy
`matches`      ... rules and policies, by `shape`; `forwards` port forwards; `spelling` their words
`strict`       which ports a broadcast or an address inside may not reach around these
`footprint`    what a rule is about; `levels` the order of rules that contradict each other
`references`   which rules, policies and forwards name a workload or network
`generated`    the chains that look up the sets of rules and policies
`incremental`  Compiled: all elements, kept up to date object by object
`render`       a ruleset, or the step to the next, as one transaction in nft's language
`elements`     a step without new sets or chains, as messages to the kernel itself
`plane`        Firewall: start, apply, restore, verify, remove, counters, hits
`verdict`      decide: what becomes of a new connection (`packet`), and by what, asking `facts` of
               a snapshot; `judge` has indexes of these facts, for many packets
`revoke`       which tracked connections a change cuts; `revoker` does it
`foreign`      chains of others that drop volt's traffic, and `foreign_forwards`, rules of theirs
               that lead ports of the host elsewhere; `coexistence` looks for both

Decisions run from top to bottom: a change of the snapshot gives new fragments, those a delta, that
a transaction; only `plane` awaits anything. README.md draws the way of a packet through the chains.
"""
