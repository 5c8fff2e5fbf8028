"""Which subnets a network may have."""

from __future__ import annotations

import time
from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.networks.build import backend, route
from volt_agent.errors import Invalid, Refused
from volt_agent.kernel.state import Route
from volt_agent.model.snapshot import Snapshot
from volt_agent.networks.subnets import check_free, find_clash, next_free, parse_subnet


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("10.0.0.1/24", "10.0.0.0/24"),
        ("10.0.0.0/31", "/30"),
        ("10.0.0.0/32", "/30"),
        ("0.0.0.0/0", "/8"),
        ("10.0.0.0", "10.0.0.0/24"),
        ("fd00::/64", "IPv6"),
        ("10.0.0.0/33", "10.30.0.0/24"),
        ("127.0.0.0/8", "RFC 6890"),
        ("224.0.0.0/8", "RFC 6890"),
        ("169.254.1.0/24", "RFC 6890"),
        ("backend", "10.30.0.0/24"),
        ("", "10.30.0.0/24"),
        ("9" * 5000, "10.30.0.0/24"),
    ],
)
def test_a_bad_subnet_is_refused_with_what_to_write(text: str, says: str) -> None:
    """Every malformed subnet gives one line that shows a right one."""
    with pytest.raises(Invalid) as caught:
        parse_subnet(text)
    told = f"{caught.value.message} {caught.value.hint}"
    assert says in told
    assert len(told) < 250
    assert "\n" not in told


def test_an_overlap_is_refused_with_the_clash_named() -> None:
    """Networks and routes of the host both count; a default route and own bridges do not."""
    networks = backend().networks.values()
    with pytest.raises(Refused, match=r"network backend \(10\.30\.0\.0/24\)"):
        check_free(IPv4Network("10.30.0.128/25"), networks, ())
    with pytest.raises(Refused, match=r"route 192\.168\.0\.0/16 on eth0"):
        check_free(IPv4Network("192.168.7.0/24"), networks, [route("192.168.0.0/16")])
    check_free(IPv4Network("10.31.0.0/24"), networks, [route("0.0.0.0/0")])
    check_free(IPv4Network("10.31.0.0/24"), (), [route("10.30.0.0/24", "volt-backend")])


def test_the_next_free_subnet_follows_the_default_one() -> None:
    """Taken ranges, of networks or the host, are stepped over; other private ranges come last."""
    default = IPv4Network("10.0.0.0/24")
    assert str(next_free(default, (), ())) == "10.0.1.0/24"
    assert str(next_free(default, (), [route("10.0.0.0/22")])) == "10.0.4.0/24"
    assert str(next_free(default, (), [route("10.0.0.0/8")])) == "172.16.0.0/24"
    assert str(next_free(IPv4Network("192.168.255.0/24"), (), ())) == "192.168.0.0/24"
    everything = [route("10.0.0.0/8"), route("172.16.0.0/12"), route("192.168.0.0/16")]
    with pytest.raises(Refused, match="private ranges"):
        next_free(default, Snapshot().networks.values(), everything)


@given(
    st.lists(
        st.builds(
            lambda number, prefix: route(str(IPv4Network((number, prefix), strict=False))),
            st.integers(10 << 24, (10 << 24) + 0x0FFF),
            st.integers(20, 32),
        )
    )
)
def test_the_next_free_subnet_is_free(routes: list[Route]) -> None:
    """Whatever the host has, it overlaps nothing, and none before it in its range was free."""
    found = next_free(IPv4Network("10.0.0.0/24"), (), routes)
    assert find_clash(found, (), routes) is None
    for number in range((10 << 24) + 256, int(found.network_address), 256):
        assert find_clash(IPv4Network((number, 24)), (), routes) is not None


def test_the_next_free_subnet_of_many_is_found_without_a_pause() -> None:
    """Behind 1,000 taken ones: it is looked for on the loop."""
    taken = [route(f"10.{number // 256}.{number % 256}.0/24") for number in range(1001)]
    began = time.thread_time()
    assert str(next_free(IPv4Network("10.0.0.0/24"), (), taken)) == "10.3.233.0/24"
    assert time.thread_time() - began < 0.1, "asking each about each takes 0.8 s"
