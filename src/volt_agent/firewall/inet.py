"""`table inet volt`: what is routed, what is addressed to the host, what is bridged in between.

A rule reads "in order, the first that matches decides"; README.md beside this file draws the way of
a packet through the chains. Rules about a switch ask whether the packet's address family (ipv4,
ipv6) is in a set: a switch that is off is an empty set, so that turning it costs an element and no
chain is ever rewritten. Protocols are numbers (`quote.PROTOCOL_NUMBERS` says why).
"""

from __future__ import annotations

from socket import IPPROTO_ICMPV6, IPPROTO_IGMP, IPPROTO_TCP, IPPROTO_UDP

from .ruleset import Chain, Counter, Hook, Set, Table

# A new TCP connection starts with SYN and neither ACK, RST nor FIN (RFC 9293, section 3.5).
# Conntrack takes any other first packet as a running connection ("loose pick-up",
# nf_conntrack_tcp_loose): a connection that was cut would revive as soon as a packet comes by.
_MID_STREAM = "tcp flags & (fin | syn | rst | ack) != syn"

_INET_COUNTERS = (
    Counter("host-closed", "from outside to a port of the host that is not open"),
    Counter("host-from-workload", "from a workload to the host, other than DHCP, DNS and ping"),
    Counter("gateway-from-outside", "from outside to a gateway address"),
    Counter("workload-from-outside", "from outside to a workload"),
    Counter("between-networks", "from one network to another"),
    Counter("isolated", "from a workload to one that a policy isolates, allowed by none"),
    Counter("no-way-out", "out of a network without NAT"),
    Counter("foreign-source", "from a workload with an address of no subnet of its network"),
    Counter("loopback-from-workload", "from a workload to or from 127.0.0.0/8"),
    Counter("forged-error", "ICMP errors about connections that are none of the network's"),
    Counter("mid-stream", "from a workload, TCP that belongs to no tracked connection"),
    Counter("untrackable", "from or to a workload, invalid for connection tracking"),
    Counter("ipv6", "IPv6 of workloads"),
)

_INET_SETS = (
    Set("bridges", "ifname"),
    # Pairs of a bridge with itself: a lookup of (in, out), since nft cannot compare the two.
    Set("same-bridge", "ifname . ifname"),
    Set("nat-bridges", "ifname"),
    Set("gateways", "ipv4_addr"),
    Set("own-gateway", "ifname . ipv4_addr"),
    Set("sources", "ifname . ipv4_addr", interval=True),
    # The host's own policy: two switches that deny and let ping in, one for the first seconds.
    Set("host-denies", "nf_proto"),
    Set("host-pings", "nf_proto"),
    Set("settling", "nf_proto"),
    Set("host-ports", "inet_proto . inet_service", interval=True),
    Set("host-interfaces", "ifname"),
    # Targets of allow policies: single addresses, and whole networks by their bridge.
    Set("isolated", "ipv4_addr"),
    Set("isolated-bridges", "ifname"),
    # Port forwards: of all the host's addresses, of one, and whose targets may meet themselves.
    Set("forwards", "inet_proto . inet_service", data="ipv4_addr . inet_service"),
    Set(
        "address-forwards",
        "ipv4_addr . inet_proto . inet_service",
        data="ipv4_addr . inet_service",
    ),
    Set("to-itself", "ipv4_addr . ipv4_addr"),
)

_VOLT_RAW = Chain(
    "volt-raw",
    hook=Hook(
        "filter",
        "prerouting",
        "raw",
        "before conntrack: a packet to or from 127.0.0.0/8 must not even become a connection. Once "
        "a bridge has route_localnet (forwards of 127.0.0.1 need it) nothing else keeps a workload "
        "from the services that listen on loopback only",
    ),
    rules=(
        "ip daddr 127.0.0.0/8 iifname @bridges counter name loopback-from-workload drop",
        "ip saddr 127.0.0.0/8 iifname @bridges counter name loopback-from-workload drop",
    ),
)

# An ICMP error is "related" to the connection that it quotes, whoever sends it: conntrack checks
# that it goes to an end of that connection, not where it comes from (nf_conntrack_inet_error() in
# net/netfilter/nf_conntrack_proto_icmp.c). A router may be a third party; a network of volt's where
# neither end is has nothing to say about it.
_RELATED = Chain(
    "related",
    rules=(
        "iifname != @bridges accept",
        "iifname . ct original ip saddr @sources accept",
        "iifname . ct reply ip saddr @sources accept",
        "counter name forged-error drop",
    ),
)

_VOLT_INPUT = Chain(
    "volt-input",
    hook=Hook(
        "filter",
        "input",
        "filter - 5",
        "before the filters of others (0): what volt drops stays dropped, what it accepts they may "
        "still drop, since an accept ends only this chain",
    ),
    rules=(
        "ct state vmap { established : accept, related : goto related }",
        "iifname @bridges goto in-workload",
        # Linux answers on any interface for each of its addresses (the weak host model, RFC 1122,
        # section 3.3.4.2), so gateways have to be closed to the outside explicitly.
        'iifname != "lo" ip daddr @gateways counter name gateway-from-outside drop',
        # While it settles a packet of a connection that the host itself began counts as new.
        "meta nfproto @settling accept",
        # Rules are about what is not the host itself. ICMPv6 is left out: a rule for all protocols
        # must not take neighbour discovery with it.
        f'iifname != "lo" meta l4proto != {IPPROTO_ICMPV6:d} jump host-from-outside',
        "meta nfproto @host-denies goto in-host",
    ),
)

_IN_WORKLOAD = Chain(
    "in-workload",
    rules=(
        "meta nfproto ipv6 counter name ipv6 drop",
        "ct state invalid counter name untrackable drop",
        # Ahead of the check of the source: a client without a lease speaks from 0.0.0.0
        # (RFC 2131, section 4.1). Source port 67 is a relay, which the guard lets pass only where
        # port security is off.
        "udp sport { 67, 68 } udp dport 67 ip daddr 255.255.255.255 accept",
        "udp sport { 67, 68 } udp dport 67 iifname . ip daddr @own-gateway accept",
        "iifname . ip saddr != @sources counter name foreign-source drop",
        # Replies to connections of the host that are older than the hooks. Without this a download
        # of which the host only receives would never be tracked.
        f"meta nfproto @settling {_MID_STREAM} accept",
        "jump host-from-workload",
        f"meta l4proto {{ {IPPROTO_TCP:d}, {IPPROTO_UDP:d} }} th dport 53"
        " iifname . ip daddr @own-gateway accept",
        "icmp type echo-request iifname . ip daddr @own-gateway accept",
        "counter name host-from-workload drop",
    ),
)

_IN_HOST = Chain(
    "in-host",
    rules=(
        'iifname "lo" accept',
        "iifname @host-interfaces accept",
        "meta l4proto . th dport @host-ports accept",
        # What IP itself needs, also where it belongs to no tracked connection. Errors: path MTU
        # discovery fails without "fragmentation needed" (RFC 1191) and "packet too big" (RFC 8201).
        "icmp type { destination-unreachable, time-exceeded, parameter-problem } accept",
        "icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem }"
        " accept",
        # Neighbour discovery and router advertisements (RFC 4861): the kernel itself checks the
        # hop limit of 255, i.e. that they come from this link.
        "icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit,"
        " nd-neighbor-advert, nd-redirect } accept",
        # Multicast listener discovery (RFC 3810) and its IPv4 twin (RFC 3376): a host that does not
        # hear the queries loses its groups on switches that snoop.
        "icmpv6 type { mld-listener-query, mld-listener-report, mld-listener-done,"
        " mld2-listener-report } accept",
        f"ip protocol {IPPROTO_IGMP:d} accept",
        # Answers to a DHCP client (RFC 2131, section 4.1; RFC 8415, section 7.2) that broadcast its
        # question: conntrack cannot relate the two.
        "udp sport 67 udp dport 68 accept",
        "ip6 daddr fe80::/10 udp dport 546 accept",
        "icmp type echo-request meta nfproto @host-pings accept",
        "icmpv6 type echo-request meta nfproto @host-pings accept",
        "counter name host-closed drop",
    ),
)

_VOLT_FORWARD = Chain(
    "volt-forward",
    hook=Hook(
        "filter",
        "forward",
        "filter - 5",
        "as volt-input. Frames between two ports of one bridge pass here too (br_netfilter hands "
        "them over, nf_call_iptables is on for volt's bridges), so one place decides both",
    ),
    rules=(
        "ct state vmap { established : accept, related : goto related }",
        "iifname @bridges goto from-workload",
        "oifname @bridges goto to-workload",
    ),
)

_FROM_WORKLOAD = Chain(
    "from-workload",
    rules=(
        "meta nfproto ipv6 counter name ipv6 drop",
        "ct state invalid counter name untrackable drop",
        # The guard binds a port to its address; this holds in the moment before a port that
        # somebody else attached has its guard.
        "iifname . ip saddr != @sources counter name foreign-source drop",
        f"meta nfproto != @settling {_MID_STREAM} counter name mid-stream drop",
        "jump rules-from-workload",
        "goto decide",
    ),
)

_POLICIES = (
    "jump policies",
    "ip daddr @isolated counter name isolated drop",
    "oifname @isolated-bridges counter name isolated drop",
)

_DECIDE = Chain(
    "decide",
    rules=(
        *_POLICIES,
        "iifname . oifname @same-bridge accept",
        "oifname @bridges counter name between-networks drop",
        "iifname @nat-bridges accept",
        "counter name no-way-out drop",
    ),
)

# A firewall rule opens what the defaults deny, and nothing that policies do.
_ACCEPTED = Chain("accepted", rules=(*_POLICIES, "accept"))

# As if nothing listened there (RFC 9293, section 3.10.7.1; RFC 1122, section 4.1.3.1).
_REFUSE = Chain(
    "refuse",
    rules=(
        f"meta l4proto {IPPROTO_TCP:d} reject with tcp reset",
        "reject with icmpx port-unreachable",
    ),
)

# Generated from the shapes of rules and policies that there are (`generated`).
_GENERATED = (
    Chain("policies"),
    Chain("rules-from-workload"),
    Chain("rules-from-outside"),
    Chain("host-from-workload"),
    Chain("host-from-outside"),
)

_TO_WORKLOAD = Chain(
    "to-workload",
    rules=(
        "meta nfproto ipv6 counter name ipv6 drop",
        "ct state invalid counter name untrackable drop",
        "jump rules-from-outside",
        "ct status dnat accept",
        "counter name workload-from-outside drop",
    ),
)

_FORWARDS = (
    "fib daddr type local dnat ip to ip daddr . meta l4proto . th dport map @address-forwards",
    "fib daddr type local dnat ip to meta l4proto . th dport map @forwards",
)

_VOLT_NAT_PRE = Chain(
    "volt-nat-pre",
    hook=Hook(
        "nat",
        "prerouting",
        "dstnat - 5",
        "before the port forwards of others (-100): the first that translates a connection decides",
    ),
    rules=_FORWARDS,
)

_VOLT_NAT_OUT = Chain(
    "volt-nat-out",
    hook=Hook(
        "nat",
        "output",
        "-105",
        "what the host itself begins passes no prerouting. The same priority as there, in a number "
        "because nft knows its name in prerouting only",
    ),
    rules=_FORWARDS,
)

_VOLT_NAT_POST = Chain(
    "volt-nat-post",
    hook=Hook(
        "nat",
        "postrouting",
        "srcnat - 5",
        "before the masquerading of others (100), which would otherwise choose for volt's networks",
    ),
    rules=(
        # A workload that uses a forward to itself would else answer itself, past the translation.
        "ct status dnat ip saddr . ip daddr @to-itself masquerade",
        # 127.0.0.1 means another host to whom it is sent.
        "ip saddr 127.0.0.0/8 oifname @bridges masquerade",
        "meta nfproto ipv4 iifname @nat-bridges oifname != @bridges masquerade",
    ),
)

INET = Table(
    "inet",
    _INET_COUNTERS,
    _INET_SETS,
    (
        _VOLT_RAW,
        _RELATED,
        _VOLT_INPUT,
        _IN_WORKLOAD,
        _IN_HOST,
        _VOLT_FORWARD,
        _REFUSE,
        *_GENERATED,
        _ACCEPTED,
        _FROM_WORKLOAD,
        _DECIDE,
        _TO_WORKLOAD,
        _VOLT_NAT_PRE,
        _VOLT_NAT_OUT,
        _VOLT_NAT_POST,
    ),
)
