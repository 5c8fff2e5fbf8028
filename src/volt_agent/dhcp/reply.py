"""The answer to a message: its fields, its options, and where it is sent."""

from __future__ import annotations

from ipaddress import IPv4Address

from ..model.network import Network
from ..model.snapshot import Snapshot
from ..networks.plan import is_way_out
from . import options
from .clients import Client
from .frames import CLIENT_PORT, EVERYBODY, SERVER_PORT, Datagram
from .message import REPLY, Kind, Message, encode
from .options import Option
from .settings import DhcpSettings

_NOBODY, _ALL = IPv4Address(0), IPv4Address("255.255.255.255")


def answer(
    message: Message,
    client: Client,
    kind: Kind,
    address: IPv4Address | None,
    snapshot: Snapshot,
    settings: DhcpSettings,
) -> Message:
    """An OFFER or ACK. `address` None answers INFORM: no address, no times (section 4.3.5)."""
    values: dict[int, bytes] = {Option.SERVER_ID: client.network.gateway.packed}
    if address is not None:
        values |= _times(settings.lease_time)
    values |= _network_options(client, snapshot, settings)
    return _reply(message, kind, address or _NOBODY, client.network, values)


def refusal(message: Message, network: Network, why: str) -> Message:
    """A NAK (section 4.3.2). Through a relay it has the broadcast flag set."""
    values: dict[int, bytes] = {
        Option.SERVER_ID: network.gateway.packed,
        Option.MESSAGE: why.encode(),
    }
    return _reply(message, Kind.NAK, _NOBODY, network, values)


def _reply(
    message: Message,
    kind: Kind,
    address: IPv4Address,
    network: Network,
    values: dict[int, bytes],
) -> Message:
    """Fields as in RFC 2131, table 3; the client's identifier comes back (RFC 6842)."""
    if Option.CLIENT_ID in message.options:
        values = {**values, Option.CLIENT_ID: message.options[Option.CLIENT_ID]}
    is_refusal = kind == Kind.NAK
    return Message(
        op=REPLY,
        kind=kind,
        xid=message.xid,
        mac=message.mac,
        broadcast=message.broadcast or (is_refusal and message.is_relayed),
        ciaddr=message.ciaddr if kind == Kind.ACK else _NOBODY,
        yiaddr=address,
        siaddr=_NOBODY if is_refusal else network.gateway,
        giaddr=message.giaddr,
        options=values,
    )


def _times(lease_time: int) -> dict[int, bytes]:
    """T1 and T2 at the usual fractions (section 4.4.5), stated so that nobody has to guess."""
    return {
        Option.LEASE_TIME: options.seconds(lease_time),
        Option.RENEWAL_TIME: options.seconds(lease_time // 2),
        Option.REBINDING_TIME: options.seconds(lease_time * 7 // 8),
    }


def _network_options(
    client: Client, snapshot: Snapshot, settings: DhcpSettings
) -> dict[int, bytes]:
    """What everybody needs comes first: the last ones are left out of a reply that is too long."""
    network, gateway = client.network, client.network.gateway
    values: dict[int, bytes] = {Option.SUBNET_MASK: network.subnet.netmask.packed}
    if _leads_out(client, snapshot):
        values[Option.ROUTER] = gateway.packed
    if settings.names:
        values[Option.DNS] = gateway.packed
    values[Option.BROADCAST] = network.subnet.broadcast_address.packed
    values[Option.MTU] = network.mtu.to_bytes(2)
    if client.behind is None:
        values[Option.HOST_NAME] = client.workload.encode()
    if settings.names and settings.search_domains:
        values[Option.DOMAIN_NAME] = settings.search_domains[0].encode()
        values[Option.DOMAIN_SEARCH] = options.search_list(settings.search_domains)
    return values


def _leads_out(client: Client, snapshot: Snapshot) -> bool:
    """Whether the client's default route goes through this network."""
    connection = snapshot.connections.get(client.port.key)
    if connection is None:
        return client.network.nat
    return is_way_out(connection, snapshot)


def datagram(reply: Message, request: Message, asked: Datagram, network: Network) -> Datagram:
    """Where a reply goes (section 4.1): to the relay, to the address that the client has, to all
    if it asked for that, else to its MAC and new address, which it cannot be asked about yet."""
    target, port, mac = reply.yiaddr, CLIENT_PORT, asked.source_mac
    if request.is_relayed:
        target, port = request.giaddr, SERVER_PORT
    elif reply.kind == Kind.NAK:
        target, mac = _ALL, EVERYBODY
    elif request.ciaddr != _NOBODY:
        target = request.ciaddr
    elif request.broadcast or target == _NOBODY:
        target, mac = _ALL, EVERYBODY
    return Datagram(
        source_mac=EVERYBODY,
        target_mac=mac,
        source=network.gateway,
        target=target,
        source_port=SERVER_PORT,
        target_port=port,
        data=encode(reply, request.room),
    )
