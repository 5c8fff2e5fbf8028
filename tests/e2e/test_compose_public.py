"""Compose files as people publish them, each as a project of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compose.files import PUBLIC
from tests.e2e.shop import Shop
from tests.support.host import Host


@pytest.mark.parametrize("name", PUBLIC)
def test_public_files(lasting: Host, tmp_path: Path, name: str) -> None:
    """The second `up` changes nothing, also after a restart; `down` leaves nothing."""
    shop, text = Shop(lasting, tmp_path), PUBLIC[name]
    before = shop.state()
    assert shop.up(text, "--dry-run")
    assert shop.state() == before
    assert shop.up(text)
    assert shop.up(text) == []
    if name == "dns":
        shop.host.stop_agent()
        shop.host.start_agent()
        assert shop.up(text) == []
    assert shop.compose("down")["changed"]
    assert shop.state() == before
    assert not shop.compose("down")["changed"]
