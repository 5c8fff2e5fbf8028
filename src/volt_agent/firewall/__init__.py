"""The firewall: the default policy, compiled from the snapshot and applied in one transaction.

`ruleset`      the words: Table, Chain, Hook, Set, Counter; Element and Delta
`inet`         one table as data: every chain with its hook, every rule of the default policy
`bridge`       the other: the guard of each port
`tables`       both, with their sets and counters by name
`compile`      from one object (network, connection, port, host policy) to its elements
`incremental`  Compiled: all elements, kept up to date object by object
`render`       a ruleset, or the step to the next, as one transaction in nft's language
`plane`        Firewall: start, apply, restore, verify, remove, counters

Decisions run from top to bottom: a change of the snapshot gives new fragments, those a delta, that
a text; only `plane` awaits anything. README.md draws the way of a packet through the chains.
"""
