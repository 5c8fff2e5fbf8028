"""Extended DNS errors, written and read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from volt_agent.dns.extended import Info, code_in, option


def test_what_is_written_is_read() -> None:
    """Also behind other options."""
    cookie = b"\0\x0a\0\x08" + b"12345678"
    assert code_in(cookie + option(Info.PROHIBITED, "no way out")) == 18
    assert option(Info.STALE_ANSWER) == b"\0\x0f\0\2\0\3"


@given(st.binary(max_size=40))
def test_any_options_are_read(options: bytes) -> None:
    """Nothing is raised, whatever a server sends."""
    code = code_in(options)
    assert code is None or 0 <= code <= 0xFFFF
