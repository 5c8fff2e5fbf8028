"""Addresses for workloads that ask for one: a DHCP server (RFC 2131, 2132) on every gateway.

Three words: a **client** is whoever asks, known by the bridge port it is behind, never by what it
says about itself; a **lease** is an address that it was given (`model.lease`), one for each
workload on a network; an **offer** is an address held for a client for a moment, in memory only.

Who talks to whom, from the wire inwards::

    sockets    one packet socket per bridge, which hears what is sent to port 67; taken from and
               left with the service manager, so that a restart loses no question
    frames     Ethernet, IPv4 and UDP around a message, both ways
    message    one message <-> octets, strict; `options` are the values inside
    clients    whose port a message came from, and whether it is what it claims (plain functions)
    leases     what a message leads to: offer, grant, refuse, end, or silence (plain functions)
    pool       which address a client gets; offers and declined addresses (plain)
    reply      the answer's fields and options
    probe      does somebody use this address already? (ARP, where ports are not bound to theirs)
    server     DhcpServer: puts these together, commits leases, follows the snapshot

A workload that volt connected always gets its connection's address. Any other port gets the address
that is kept for it, or a free one; the commit of its first lease also binds its port to MAC and
address, so that firewall and names know it before the client does. A grant of something new is
stored before it is acknowledged; a renewal is not stored: after a crash every lease is taken to
have been renewed a moment before. Names come from volt's own records.

Packet sockets, because what counts is the Ethernet source: the bridge's guard has bound it to a
port, while the hardware address inside a message is anybody's claim, and because a client without
an address can be answered only by its MAC (RFC 2131, section 4.1).
"""
