"""A private host that systemd has booted: real units, the real machined, nspawn, virtual machines.

The root file system is a Debian that `scripts/set-up host` has built; what is written to it goes
with the host. It is a container on the network of a private machine, so that outside, uplink and
probes are those of every other test.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from . import leftovers
from .host import Host
from .machine import ROOM, ROOT, Result
from .process import Process, wait_until

IMAGE = ROOT / ".cache/host/image"
GUEST_IMAGE = Path("/srv/guest")  # the same, inside, for containers
GUEST_SCRIPTS = ROOT / "tests/support/guest"  # what runs in containers and virtual machines
BOOT_WITHIN, ANSWER_WITHIN, DOWN_WITHIN = 120, 60, 90

# nspawn's overlay keeps what a host writes in its own memory. Its controllers are cgroup2's, in a
# group of their own that is removed afterwards.
_BOOT = """
set -eu
room=$1 image=$2 group=$3
shift 3
if [ ! -e $room/root ]; then
    mkdir $room/root $room/changes
    mount -t tmpfs -o mode=755,size=1g tmpfs $room/changes
    mkdir $room/changes/upper $room/changes/work
    mount -t overlay -o lowerdir=$image,upperdir=$room/changes/upper,workdir=$room/changes/work \
        overlay $room/root
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    mkdir /sys/fs/cgroup/$group
fi
echo $$ >/sys/fs/cgroup/$group/cgroup.procs
exec "$@"
"""

# What a reboot takes with it, in a network namespace that stays.
_FORGET = """
set -eu
nft flush ruleset
for link in $(ls /sys/class/net); do
    case $link in volt*|vc-*|vt-*) ip link delete $link ;; esac
done
echo 0 >/proc/sys/net/ipv4/ip_forward
"""


def is_built() -> bool:
    """Whether there is an image to boot."""
    return (IMAGE / "usr/bin/systemd-nspawn").exists()


class SystemdHost(Host):
    """See the module. `run` and `start` work inside it; `do` and `traffic` beside it, on its
    network."""

    room = Path("/run/room")

    def __init__(self, config: str = "", **machine: Any) -> None:
        self._cgroup: Path | None = None
        super().__init__(config, **machine)
        self._outer = self.pid
        try:
            self._boot()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        super().close()
        if self._cgroup is not None:
            _remove_tree(self._cgroup)

    def _boot(self) -> None:
        group = f"volt-test-{os.getpid()}-{self._outer}"
        self._cgroup = _unified() / group
        log = (self.path(ROOM) / "boot.log").open("w")
        boot = ["sh", "-c", _BOOT, "boot", str(ROOM), str(IMAGE), group]
        self._nspawn = nspawn = self.start(
            *boot,
            *_nspawn(),
            stdout=log,
            stderr=log,
            environment={"SYSTEMD_NSPAWN_API_VFS_WRITABLE": "yes", "SYSTEMD_NSPAWN_LOCK": "0"},
        )
        log.close()
        said = self.path(ROOM) / "boot.log"
        try:
            leader = wait_until(lambda: _leader(nspawn), "nspawn starts systemd", BOOT_WITHIN)
            self._namespaces |= set(leftovers.namespaces_of(leader).values())
            self._namespaces -= set(leftovers.namespaces_of("self").values())
            self.pid = leader
            wait_until(self._is_up, "systemd has booted", BOOT_WITHIN)
        except (TimeoutError, AssertionError) as error:
            raise AssertionError(f"{error}\n{said.read_text()[-3000:]}") from None

    def reboot(self) -> None:
        """Shut it down and boot it again: what it has written stays, the kernel's network does not.

        Its network namespace is the private machine's, so what a new kernel would not have is taken
        away here.
        """
        # systemd stops all processes before it ends them, and nsenter then stops itself for good.
        for process in self._started:
            if process is not self._nspawn and process.poll() is None:
                process.end(signal.SIGKILL)
        self.run("systemctl", "--no-block", "reboot")
        self._nspawn.wait(DOWN_WITHIN)
        self.pid = self._outer
        self.run("sh", "-c", _FORGET)
        self._boot()

    def _is_up(self) -> bool:
        state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        assert state not in ("degraded", "maintenance", "stopping"), state
        return state == "running"

    # ---- containers -----------------------------------------------------------------------------

    def start_container(self, name: str, *options: str) -> None:
        """Boot a container of the image with systemd-nspawn, registered with machined."""
        self.run(
            *("systemd-run", "--quiet", f"--unit=container-{name}", "--"),
            *("systemd-nspawn", "--quiet", f"--machine={name}", f"--directory={GUEST_IMAGE}"),
            *("--volatile=overlay", "--resolv-conf=off", "--timezone=off", "--link-journal=no"),
            *("--console=read-only", "--boot", *options),
        )
        wait_until(lambda: self.leader_of(name), f"{name} is registered", BOOT_WITHIN)

    def stop_container(self, name: str) -> None:
        """Shut it down, at once."""
        self.run("machinectl", "terminate", name)

    def leader_of(self, name: str) -> str | None:
        """The pid of a container's first process, as the systemd host counts."""
        shown = self.run("machinectl", "show", "--property=Leader", "--value", name, check=False)
        return shown.stdout.strip() or None

    def in_container(self, name: str, *argv: str, **how: Any) -> Result:
        """Run a command in a container; `how` as for `run`."""
        leader = self.leader_of(name)
        assert leader is not None, f"{name} does not run"
        return self.run("nsenter", f"--target={leader}", "--all", "--", *argv, **how)


def _nspawn() -> list[str]:
    """The image's own systemd-nspawn, with the image's own libraries, booting a host of it."""
    libraries = f"{IMAGE}/usr/lib/x86_64-linux-gnu"
    loader = [f"{IMAGE}/lib64/ld-linux-x86-64.so.2", "--library-path"]
    seen = {Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve(), ROOT}
    return [
        *loader,
        f"{libraries}:{libraries}/systemd",
        f"{IMAGE}/usr/bin/systemd-nspawn",
        *("--quiet", "--register=no", "--keep-unit", "--console=pipe", "--boot"),
        *("--resolv-conf=off", "--timezone=off", "--link-journal=no", "--capability=all"),
        # A container loads no modules into the kernel of the machine that tests.
        "--drop-capability=CAP_SYS_MODULE",
        *("--machine=volt-host", f"--directory={ROOM}/root"),
        *(f"--bind-ro={path}" for path in sorted(seen) if path != Path("/usr")),
        f"--bind-ro={IMAGE}:{GUEST_IMAGE}",
        f"--bind={ROOM}:{SystemdHost.room}",
        "--bind=/dev/net/tun",
        "systemd.log_target=console",
    ]


def _leader(nspawn: Process) -> int | None:
    """nspawn's child, once it is systemd itself."""
    if nspawn.poll() is not None:
        raise AssertionError(f"nspawn ended with {nspawn.poll()}")
    children = Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children").read_text().split()
    for child in children:
        with suppress(OSError):
            if Path(f"/proc/{child}/comm").read_text() == "systemd\n":
                return int(child)
    return None


def _unified() -> Path:
    """Where the machine has the cgroup2 hierarchy."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place)
    raise AssertionError("there is no cgroup2 hierarchy on this machine")


def _remove_tree(group: Path) -> None:
    """Remove a cgroup with all groups in it; their processes have ended."""
    for folder, _, _ in os.walk(group, topdown=False):
        wait_until(lambda path=folder: _rmdir(path), f"{folder} is empty", ANSWER_WITHIN)  # type: ignore[misc]


def _rmdir(path: str) -> bool:
    with suppress(OSError):
        os.rmdir(path)
    return not os.path.exists(path)
