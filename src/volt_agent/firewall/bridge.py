"""`table bridge volt`: what a port may put on its bridge, and what a strict one gets from it."""

from __future__ import annotations

from .ruleset import Chain, Counter, Hook, Set, Table

_BRIDGE_COUNTERS = (
    Counter("spoofed-mac", "from a port with a MAC that is not its own"),
    Counter("spoofed-address", "from a port with an address that is not its own"),
    Counter("spoofed-arp", "ARP from a port about an address or MAC that is not its own"),
    Counter("dhcp-server", "answers of a DHCP server behind a port"),
    Counter("before-lease", "from a port without a known address, other than DHCP"),
    Counter("port-ipv6", "IPv6 from a port"),
    Counter("not-addressed", "to a workload that policies or rules close, without its address"),
    Counter("other-protocol", "VLAN, STP and other frames from a port"),
)

_BRIDGE_SETS = (
    # Which guard an interface has. Not one map to `goto` verdicts: the kernel then walks the whole
    # map at every change, in search of loops (0.6 ms for 10,000 elements).
    Set("bound-ports", "ifname"),
    Set("learning-ports", "ifname"),
    Set("lifted-ports", "ifname"),
    Set("port-macs", "ifname . ether_addr"),
    Set("port-addresses", "ifname . ipv4_addr"),
    # Who gets only what bears one of his addresses, from everybody or from one port (`strict`).
    Set("strict-ports", "ifname"),
    Set("strict-pairs", "ifname . ifname"),
    Set("strict-addresses", "ifname . ipv4_addr"),
)

_GUARD = Chain(
    "guard",
    hook=Hook(
        "filter",
        "prerouting",
        "dstnat",
        "-300, ahead of everything on a bridge: a false frame must neither teach the bridge where "
        "a MAC lives nor reach conntrack through br_netfilter (0)",
    ),
    # The strictest first, for an interface that is for a moment in two of them.
    rules=(
        "iifname @bound-ports goto bound",
        "iifname @learning-ports goto learning",
        "iifname @lifted-ports goto lifted",
    ),
)

# `ether type` reads the frame as it came, VLAN tag included, so that a tagged frame is none of ip
# and arp whatever it carries.
_BOUND = Chain(
    "bound",
    rules=(
        "iifname . ether saddr != @port-macs counter name spoofed-mac drop",
        "ether type vmap { ip : goto bound-ip, arp : goto bound-arp }",
        "ether type ip6 counter name port-ipv6 drop",
        "counter name other-protocol drop",
    ),
)

_BOUND_IP = Chain(
    "bound-ip",
    rules=(
        "udp sport 67 counter name dhcp-server drop",
        "iifname . ip saddr @port-addresses accept",
        "ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept",
        "counter name spoofed-address drop",
    ),
)

_BOUND_ARP = Chain(
    "bound-arp",
    rules=(
        "iifname . arp saddr ether != @port-macs counter name spoofed-arp drop",
        "iifname . arp saddr ip @port-addresses accept",
        # An address probe (RFC 5227, section 2.1.1).
        "arp operation request arp saddr ip 0.0.0.0 accept",
        "counter name spoofed-arp drop",
    ),
)

_LEARNING = Chain(
    "learning",
    rules=(
        "ether type ip ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept",
        "ether type arp arp operation request arp saddr ip 0.0.0.0 accept",
        "counter name before-lease drop",
    ),
)

# Without port security a port may use any MAC and IPv4 address of its subnet, and VLAN tags. A tag
# of VLAN 0 is none: it carries a priority (IEEE 802.1Q, 9.6), the receiver takes the frame for an
# untagged one, and br_netfilter, which does not look into tagged frames, shows it to no policy.
_LIFTED = Chain(
    "lifted",
    rules=(
        "ether type ip6 counter name port-ipv6 drop",
        "ether type 8021q vlan id 0 counter name other-protocol drop",
        "ether type 8021ad vlan id 0 counter name other-protocol drop",
    ),
)

_BETWEEN_PORTS = Chain(
    "between-ports",
    hook=Hook(
        "filter",
        "forward",
        "filter",
        "-200, where the bridge has chosen the port that gets the frame: of a broadcast, each. The "
        "inet family, which decides about everything else, knows the bridge but not its port",
    ),
    rules=("oifname @strict-ports goto strict", "iifname . oifname @strict-pairs goto strict"),
)

_STRICT = Chain(
    "strict",
    rules=(
        "ether type arp accept",
        "ether type ip oifname . ip daddr @strict-addresses accept",
        "counter name not-addressed drop",
    ),
)

BRIDGE = Table(
    "bridge",
    _BRIDGE_COUNTERS,
    _BRIDGE_SETS,
    (_GUARD, _BOUND, _BOUND_IP, _BOUND_ARP, _LEARNING, _LIFTED, _BETWEEN_PORTS, _STRICT),
)
