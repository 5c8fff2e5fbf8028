"""How objects stand in the database, and what is not taken for one."""

from __future__ import annotations

from ipaddress import IPv4Address

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from volt_agent.model.network import Connection, Reservation
from volt_agent.model.snapshot import DESIRED
from volt_agent.store.codec import KINDS, Row, Unreadable, decode, objects, rows

RESERVATION = Reservation("net", "web", IPv4Address("10.0.0.2"), "02:00:00:00:00:02", 1.5)
(ROW,) = rows([RESERVATION])


def test_a_row_can_be_read_by_eye() -> None:
    """Kind and key are plain, the body is JSON with the names of the model."""
    assert ROW == (
        "Reservation",
        "net/web",
        '{"network":"net","workload":"web","address":"10.0.0.2",'
        '"mac":"02:00:00:00:00:02","released":1.5}',
    )


def test_every_desired_kind_is_known() -> None:
    """Nothing can be asked for that is not stored."""
    assert set(KINDS.values()) == set(DESIRED)


def test_a_missing_field_takes_its_default() -> None:
    """What an older volt wrote without a newer field is still read."""
    body = (
        '{"network":"n","workload":"w","kind":"vm","address":"10.0.0.2","mac":"",'
        '"interface":"","slot":0}'
    )
    assert objects([Row("Connection", "n/w", body)]) == (
        Connection("n", "w", "vm", IPv4Address("10.0.0.2"), "", "", 0),
    )


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (Row("Tunnel", "a", "{}"), "'Tunnel' is not a kind of object"),
        (ROW._replace(body=ROW.body[:-1]), "Reservation 'net/web': Input data was truncated"),
        (ROW._replace(body="[]"), "Expected `object`, got `array`"),
        (ROW._replace(body="{}"), "missing required field"),
        (ROW._replace(body=ROW.body.replace("10.0.0.2", "10.0.0.256")), "Octet 256"),
        (ROW._replace(body=ROW.body.replace('"10.0.0.2"', "7")), "expected text for IPv4Address"),
        (ROW._replace(body=ROW.body.replace("1.5", '"soon"')), "Expected `float`, got `str`"),
        (ROW._replace(body=ROW.body[:-1] + ',"rested":true}'), "has unknown fields: rested"),
        (ROW._replace(key="net/db"), "'net/db' describes 'net/web'"),
    ],
)
def test_rows_that_are_refused(row: Row, reason: str) -> None:
    """What this version cannot read for certain is refused with kind, key and reason."""
    with pytest.raises(Unreadable) as raised:
        decode(row)
    assert reason in str(raised.value)


@given(st.text(max_size=40) | st.recursive(st.text(max_size=9), st.lists).map(repr))
def test_any_body_is_read_or_refused(body: str) -> None:
    """A damaged body never leads to another error."""
    with pytest.raises(Unreadable):
        decode(ROW._replace(body=body))


@given(st.sampled_from(["network", "address", "mac", "released"]), st.none() | st.integers())
def test_any_field_is_read_or_refused(field: str, value: object) -> None:
    """A field of the wrong type never leads to another error."""
    fields = {**msgspec.json.decode(ROW.body), field: value}
    row = ROW._replace(body=msgspec.json.encode(fields).decode())
    if field == "released" and value is not None:
        assert decode(row)
    else:
        with pytest.raises(Unreadable):
            decode(row)
