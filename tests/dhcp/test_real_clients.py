"""The DHCP clients that people use, and a load of them."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from tests.support.host import Host
from tests.support.process import Process, wait_until

from .conftest import leases
from .guests import CLIENTS, LIBRARIES, Guest

pytestmark = pytest.mark.kernel

# What each client calls when something has happened; it says what, in its own words, and does what
# everybody's script does: address, default route.
_SCRIPT = """\
#!/bin/sh
echo "$reason$1 $new_ip_address$ip" >>{log}
case "$reason$1" in
    BOUND|bound|RENEW|renew|REBOOT)
        ip address replace "${{new_ip_address:-$ip}}/24" dev host0
        router=${{new_routers:-$router}}
        [ -z "$router" ] || ip route replace default via "$router" ;;
esac
"""


class Dhcp:
    """A client on a guest's interface, and what it has told its script."""

    def __init__(self, guest: Guest, name: str) -> None:
        self.guest, self.name = guest, name
        self.room = Path("/run/clients") / guest.name
        room = guest.host.path(self.room)
        room.mkdir(parents=True)
        self._log = room / "log"
        script = room / "script"
        script.write_text(_SCRIPT.format(log=self.room / "log"))
        script.chmod(0o755)
        self.process = self._start()

    def _start(self) -> Process:
        commands = {"udhcpc": self._udhcpc, "dhclient": self._dhclient, "dhcpcd": self._dhcpcd}
        argv = commands[self.name]()
        with self.guest.host.path(self.room / "output").open("a") as output:
            return self.guest.host.start(
                "nsenter", f"--net={self.guest.path}", *argv, stdout=output, stderr=output
            )

    def _udhcpc(self) -> list[str]:
        script = str(self.room / "script")
        return [f"{CLIENTS}/bin/busybox", "udhcpc", "-i", "host0", "-f", "-R", "-s", script]

    def _dhclient(self) -> list[str]:
        files = ["-lf", f"{self.room}/leases", "-pf", f"{self.room}/pid", "-cf", "/dev/null"]
        return [f"{CLIENTS}/sbin/dhclient", "-d", "-sf", f"{self.room}/script", *files, "host0"]

    def _dhcpcd(self) -> list[str]:
        # --noarp: its probe for a conflict would take five seconds.
        options = ["--nobackground", "--ipv4only", "--noarp", "--script", f"{self.room}/script"]
        return [f"{CLIENTS}/usr/sbin/dhcpcd", *options, "host0"]

    def await_word(self, words: str, count: int = 1) -> None:
        """Wait until the script was called with one of `words` so often."""

        def look() -> bool:
            text = self._log.read_text() if self._log.exists() else ""
            return len(re.findall(rf"^(?:{words}) 10\.", text, re.MULTILINE)) >= count

        try:
            wait_until(look, f"{self.name} says {words}")
        except TimeoutError as error:
            output = self.guest.host.path(self.room / "output").read_text()
            raise AssertionError(f"{error}\n{output}") from None

    def renew(self) -> None:
        if self.name == "udhcpc":
            self.process.send(signal.SIGUSR1)
        elif self.name == "dhcpcd":
            self.guest.run(f"{CLIENTS}/usr/sbin/dhcpcd", "--rebind", "-4", "host0")
        else:  # it renews when it is started again
            self.process.send(signal.SIGKILL)
            self.process.wait()
            self.process = self._start()

    def release(self) -> None:
        if self.name == "udhcpc":
            self.process.end(signal.SIGTERM)
        elif self.name == "dhcpcd":
            self.guest.run(f"{CLIENTS}/usr/sbin/dhcpcd", "--release", "-4", "host0")
        else:
            self.guest.run(*self._dhclient()[:1], "-r", *self._dhclient()[2:])


@pytest.fixture(scope="module")
def lan(lan: Host) -> Host:
    """With a /var/lib of its own: dhcpcd keeps leases there."""
    lan.run("mount", "-t", "tmpfs", "tmpfs", "/var/lib")
    return lan


@pytest.mark.parametrize("name", ["udhcpc", "dhclient", "dhcpcd"])
def test_client_gets_renews_and_releases(lan: Host, guest: Guest, name: str) -> None:
    """And in between the workload is reachable by its name and reaches its gateway."""
    client = Dhcp(guest, name)
    client.await_word("bound|BOUND")
    address = leases(lan)[guest.name]
    lan.traffic.await_name("host", "10.30.0.1", f"{guest.name}.volt.local", address)
    wait_until(
        lambda: guest.run("ping", "-c1", "-W1", "10.30.0.1", check=False).returncode == 0,
        "it reaches its gateway",
    )  # fmt: skip
    acknowledged = acks(lan)
    client.renew()
    wait_until(lambda: acks(lan) > acknowledged, "another acknowledgement")
    assert leases(lan)[guest.name] == address
    client.release()
    wait_until(lambda: guest.name not in leases(lan), "the lease ended")
    lan.traffic.await_name("host", "10.30.0.1", f"{guest.name}.volt.local", None)


def acks(host: Host) -> float:
    found = re.search(r'volt_dhcp_total{kind="sent_ack"} (\S+)', host.get("/metrics")[1])
    assert found is not None
    return float(found[1])


@pytest.mark.long
def test_two_hundred_clients_at_once(lan: Host) -> None:
    """perfdhcp, 200 exchanges a second for 10 s behind one relay: no address twice, no malformed
    reply."""
    lan.connect("backend", "perf")
    lan.volt("net", "disconnect", "perf")
    lan.volt("net", "connect", "backend", "perf", "--port-security", "off")
    done = lan.run(
        f"{CLIENTS}/usr/sbin/perfdhcp", "-4", "-l", "eth0", "-R", "200", "-r", "200", "-p", "10",
        "-u", "10.30.0.1",
        where="perf", check=False, within=60, environment={"LD_LIBRARY_PATH": LIBRARIES},
    )  # fmt: skip
    report = done.stdout
    print(report)
    assert re.findall(r"Malformed packets: (\d+)", report) == ["0"], report
    # The same 200 clients ask again and again, and get the same address each time.
    answered, repeated = (
        re.findall(rf"{each}: (\d+)", report)[0]
        for each in ("received packets", "non unique addresses")
    )
    assert int(answered) - int(repeated) == 200, report
    ratios = [float(each) for each in re.findall(r"drops ratio: ([\d.]+) %", report)]
    assert max(ratios) < 20, report  # on a busy machine perfdhcp itself is too late for some
    behind = [each for each in lan.call("net.lease.list") if each["behind"] == "perf"]
    assert len(behind) == 200
    assert len({each["ip"] for each in behind}) == 200
