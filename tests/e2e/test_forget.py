"""Workloads that will not come back."""

from __future__ import annotations

from tests.support.host import Host


def test_a_forgotten_workload_is_gone_from_every_list(pair: Host) -> None:
    """Once it is stopped and nobody names it; its address is free, also after a restart."""
    pair.volt("net", "port", "add", "--host-port", "80", "--target", "db", "--target-port", "80")
    assert "db is running" in refusal(pair, "db")
    before = pair.address_of("db")
    pair.remove_workload("db")
    assert "named by the forward of port 80" in refusal(pair, "db")
    pair.volt("net", "port", "delete", "--host-port", "80")
    said = pair.volt("container", "forget", "db").stdout
    assert said == "db forgotten, and disconnected from backend\n"
    assert [each["name"] for each in pair.volt_json("ps")] == ["web"]
    pair.volt("net", "connect", "backend", "other", "--ip", before)
    pair.stop_agent()
    pair.start_agent()
    assert [each["name"] for each in pair.volt_json("ps")] == ["other", "web"]
    assert pair.events("workload.forgotten") == []


def test_a_misspelt_connection_is_forgotten_at_once(running: Host) -> None:
    """It never ran: no trace of it stays, neither a tap nor a name."""
    running.volt("net", "connect", "volt0", "wep", "--kind", "vm")
    running.volt("container", "forget", "wep")
    assert running.volt_json("ps") == []
    assert "vt-wep" not in running.run("ip", "-br", "link").stdout
    assert [each["workload"] for each in running.events("workload.forgotten")] == ["wep"]
    assert running.volt("container", "forget", "wep", check=False).returncode == 3


def refusal(host: Host, name: str) -> str:
    done = host.volt("container", "forget", name, check=False)
    assert done.returncode == 1
    return str(done.stderr)
