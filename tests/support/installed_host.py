"""A systemd host on which volt is installed as the README says, and machines that boot with it.

`run`, `volt` and `start` work inside it; `traffic` knows its machines by name, once `reach` was
called for them.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from . import leftovers
from .machine import ROOT, Result
from .process import wait_until
from .systemd_host import GUEST_IMAGE, SystemdHost

PACKAGES = ROOT / ".cache/package"
BUILT_WITHIN, INSTALLED_WITHIN, UP_WITHIN = 600, 120, 60

# A machine as machinectl(1) starts it, of an image that it shares with others.
_SETTINGS = """
[Exec]
PrivateUsers=no
ResolvConf=off
Timezone=off
LinkJournal=no
[Files]
Volatile=overlay
[Network]
Private=yes
VirtualEthernet=no
"""

# Files that any installation or any boot may change.
_VOLATILE = (
    *("/dev", "/proc", "/sys", "/run", "/tmp", "/var/tmp", "/var/log", "/var/cache"),
    *("/var/lib/apt", "/var/lib/dpkg", "/var/lib/systemd", "/etc/machine-id"),
    *("/etc/group-", "/etc/gshadow-", "/etc/.pwd.lock", "/var/lib/machines"),
)


@cache
def package() -> Path:
    """The Debian package of this tree; it is not compressed, and built once."""
    environment = {"DIST": str(PACKAGES), "COMPRESSION": "none", "PYTHON": sys.executable}
    done = subprocess.run(
        [ROOT / "scripts/package", "deb"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=BUILT_WITHIN,
    )
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def renumbered(package: Path, version: str) -> Path:
    """The same package under another version."""
    changed = package.with_name(f"volt_{version}.deb")
    with tempfile.TemporaryDirectory(dir=PACKAGES) as folder:
        subprocess.run(["dpkg-deb", "--raw-extract", package, folder], check=True)
        control = Path(folder) / "DEBIAN/control"
        text = re.sub("(?m)^Version: .*", f"Version: {version}", control.read_text())
        control.write_text(text)
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-Znone", "--build", folder, changed],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    return changed


class InstalledHost(SystemdHost):
    """See the module. `volt` is the installed command, `agent` nobody's but systemd's."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("VOLT_CONFIG", "VOLT_STATE_DIR"):
            del self.environment[name]

    def volt(self, *arguments: str, **how: Any) -> Result:
        return self.run("/usr/bin/volt", *arguments, **how)

    def install(self, package: Path) -> Result:
        """As an administrator does."""
        return self.run(
            *("apt-get", "install", "--yes", "--no-install-recommends", str(package)),
            within=INSTALLED_WITHIN,
        )

    def enable(self) -> None:
        """`systemctl enable --now` the agent, and wait until all of it is up."""
        self.run("systemctl", "enable", "--now", "volt-agent", "volt-ingress", within=UP_WITHIN)
        self.await_units()

    def await_units(self) -> None:
        """Until the agent and its parts are active."""
        units = ("volt-agent.socket", "volt-agent", "volt-dns", "volt-ingress")
        wait_until(lambda: self.active(*units), "volt is up", UP_WITHIN)
        self.await_ready(UP_WITHIN)

    def active(self, *units: str) -> bool:
        """Whether all of these units are active."""
        said = self.run("systemctl", "is-active", *units, check=False).stdout.split()
        return set(said) == {"active"}

    def main_pid(self) -> str:
        """The agent's process, as the host counts."""
        shown = self.run("systemctl", "show", "--property=MainPID", "--value", "volt-agent")
        return shown.stdout.strip()

    def journal(self) -> str:
        """What all units of volt have said since the boot."""
        return self.run("journalctl", "--boot", "--output=cat", "--unit=volt-*").stdout

    # ---- machines -------------------------------------------------------------------------------

    def start_machine(self, name: str) -> None:
        """Start a machine with private networking, now and at every boot."""
        self.path("/etc/systemd/nspawn").mkdir(exist_ok=True)
        self.path(f"/etc/systemd/nspawn/{name}.nspawn").write_text(_SETTINGS)
        self.run("ln", "-s", str(GUEST_IMAGE), f"/var/lib/machines/{name}")
        self.run("machinectl", "enable", name)
        self.run("machinectl", "start", name, within=UP_WITHIN)

    def remove_machine(self, name: str) -> None:
        """End it, and forget it."""
        self.let_go(name)
        self.run("machinectl", "terminate", name)
        wait_until(lambda: self.leader_of(name) is None, f"{name} has ended", UP_WITHIN)
        self.run("machinectl", "disable", name)
        self.run("rm", f"/var/lib/machines/{name}", f"/etc/systemd/nspawn/{name}.nspawn")
        self.run("rmdir", "--ignore-fail-on-non-empty", "/etc/systemd/nspawn")

    def await_machine(self, name: str) -> str:
        """The address of a machine, once it runs and has one."""

        def look() -> str | None:
            for each in self.volt_json("ps"):
                if (each["name"], each["state"]) == (name, "running"):
                    return next((str(one["ip"]) for one in each["networks"] if one["ip"]), None)
            return None

        return wait_until(look, f"{name} runs and has an address", UP_WITHIN)

    def reach(self, name: str) -> None:
        """Let `traffic` send from a machine by its name. The name pins the machine's network
        namespace: `let_go` before it may end."""
        leader = self.leader_of(name)
        namespace = self.run("readlink", f"/proc/{leader}/ns/net").stdout.strip()
        process = leftovers.processes_in([namespace])[0]
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        numbers = next(line for line in lines if line.startswith("NSpid:")).split()
        self._beside("ip", "netns", "attach", name, numbers[2])  # ours, then the outer machine's

    def let_go(self, name: str) -> None:
        """Undo `reach`."""
        self._beside("ip", "netns", "delete", name)

    def _beside(self, *argv: str) -> None:
        """Run a command in the private machine that the host is booted in."""
        enter = ["nsenter", f"--target={self._outer}", "--net", "--mount", "--pid", "--"]
        subprocess.run([*enter, *argv], check=True, timeout=20)

    # ---- traces ---------------------------------------------------------------------------------

    def traces(self) -> dict[str, set[str]]:
        """What an installation could leave behind: files, groups, links, rules, settings."""
        pruned = [part for path in _VOLATILE for part in ("-path", path, "-o")][:-1]
        files = self.run("find", "/", "-xdev", "(", *pruned, ")", "-prune", "-o", "-print")
        units = self.run("systemctl", "list-unit-files", "volt*", check=False)
        return {
            "files": set(files.stdout.splitlines()),
            "in /run": set(self.run("ls", "/run").stdout.split()),
            "groups": set(self.run("cat", "/etc/group", "/etc/gshadow").stdout.split()),
            "links": set(self.run("ls", "/sys/class/net").stdout.split()),
            "tables": set(self.run("nft", "list", "tables").stdout.splitlines()),
            "units": set(units.stdout.splitlines()),
            "forwarding": {self.run("cat", "/proc/sys/net/ipv4/ip_forward").stdout},
        }
