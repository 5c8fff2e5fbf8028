"""What programs written elsewhere say of the ingress."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conformance.conftest import ECHO, JUDGES, WEBSOCKET
from tests.support.host import HOST_ADDRESS, Host

PROGRAMS = JUDGES / "venv" / "bin"
# Autobahn's cases but those for permessage-deflate, which the backend does not offer.
WITHOUT = ("12.*", "13.*")


def test_h1spec(site: Host) -> None:
    """All requests, well and badly formed, get what uNetworking expects."""
    script = os.environ.get("H1SPEC")
    if script is None:
        pytest.skip("H1SPEC has to name http_test.ts of uNetworking/h1spec")
    done = site.run(
        str(PROGRAMS / "deno"), "run", "--no-check", "--allow-net", script, HOST_ADDRESS, "80",
        check=False, within=60,
        environment={"DENO_NO_UPDATE_CHECK": "1", "DENO_DIR": f"{site.room}/deno"},
    )  # fmt: skip
    print("\n", *(line for line in done.stdout.splitlines() if "passed" in line or "❌" in line))
    found = re.search(r"(\d+) out of (\d+) tests passed", done.stdout)
    assert found is not None, done.stderr
    assert found[1] == found[2], done.stdout
    assert int(found[2]) >= 33


def test_autobahn(site: Host, tmp_path: Path) -> None:
    """Every case of the Autobahn test suite passes through the proxy that passes without it."""
    direct, through = (
        autobahn(site, tmp_path / name, f"ws://127.0.0.1:{port}")
        for name, port in (("direct", WEBSOCKET), ("through", 80))
    )
    print(f"\n{len(direct)} cases: {len(passed(direct))} pass without the proxy, ", end="")
    print(f"{len(passed(through))} through it")
    assert len(direct) > 240
    assert not passed(direct) - passed(through)


def passed(verdicts: Mapping[str, str]) -> set[str]:
    """Which cases went well: whether strictly depends on how TCP cut the bytes."""
    return {case for case, verdict in verdicts.items() if verdict in GOOD}


GOOD = ("OK", "NON-STRICT", "INFORMATIONAL")


def autobahn(site: Host, reports: Path, address: str) -> Mapping[str, str]:
    """What each case led to."""
    left_out = [word for each in WITHOUT for word in ("-x", each)]
    site.run(
        str(PROGRAMS / "kosoku"), "-m", "fuzzingclient", "-p", "2", "-o", str(reports), *left_out,
        address, check=False, within=600,
    )  # fmt: skip
    (index,) = reports.rglob("index.json")
    (cases,) = json.loads(index.read_text()).values()
    return {case: each["behavior"] for case, each in cases.items()}


def test_sslyze(site: Host) -> None:
    """Nothing deviates from Mozilla's intermediate profile."""
    done = site.run(
        str(PROGRAMS / "sslyze"), "--mozilla_config=intermediate", f"--sni={ECHO}",
        f"--certinfo_ca_file={site.room}/root.pem",
        f"{HOST_ADDRESS}:443", check=False, within=300,
    )  # fmt: skip
    verdict = done.stdout[done.stdout.find("COMPLIANCE AGAINST") :]
    print("\n" + verdict)
    assert "intermediate" in verdict.lower()
    assert "OK - Compliant" in verdict
