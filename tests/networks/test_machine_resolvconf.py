"""A machine's resolv.conf, in the root of a real process that may have prepared it maliciously."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from volt_agent.kernel.rooted import folder_of_process, open_without_links
from volt_agent.networks.machine_resolvconf import KEPT, MachineResolvConf
from volt_agent.networks.resolvconf import content

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

TEXT = content(IPv4Address("10.0.0.1"), ["volt.local"])
_STAY = "import os, sys; os.chroot(sys.argv[1]); print('in', flush=True); sys.stdin.read()"


class Inmate:
    """A process whose root is a folder with an /etc; `resolv_conf` as seen from the host."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        (self.root / "etc").mkdir(parents=True)
        self.resolv_conf = self.root / "etc/resolv.conf"
        self._process = subprocess.Popen(
            [sys.executable, "-c", _STAY, str(self.root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"in\n"
        self.pid = self._process.pid

    def files(self) -> list[str]:
        return sorted(os.listdir(self.root / "etc"))

    def end(self) -> None:
        self._process.communicate()


@pytest.fixture
def inmate(tmp_path: Path) -> Iterator[Inmate]:
    inmate = Inmate(tmp_path)
    yield inmate
    inmate.end()


def test_the_machines_own_file_comes_back(inmate: Inmate) -> None:
    """volt's file stands in its place meanwhile, and nothing else is left afterwards."""
    inmate.resolv_conf.write_text("nameserver 192.0.2.53\n")
    files = MachineResolvConf()
    files.write(inmate.pid, TEXT)
    assert inmate.resolv_conf.read_text() == TEXT
    assert inmate.resolv_conf.stat().st_mode & 0o777 == 0o644
    files.restore(inmate.pid)
    assert inmate.resolv_conf.read_text() == "nameserver 192.0.2.53\n"
    assert inmate.files() == ["resolv.conf"]


def test_a_machine_without_the_file_has_none_again(inmate: Inmate) -> None:
    """What was not there is not there afterwards."""
    files = MachineResolvConf()
    files.write(inmate.pid, TEXT)
    assert inmate.files() == ["resolv.conf"]
    files.restore(inmate.pid)
    assert inmate.files() == []


def test_a_link_is_replaced_and_comes_back(inmate: Inmate, tmp_path: Path) -> None:
    """Neither a link to a file of the host's nor a relative one is followed."""
    precious = tmp_path / "precious"
    precious.write_text("of the host\n")
    for target in (str(precious), "../run/systemd/resolve/stub-resolv.conf"):
        inmate.resolv_conf.symlink_to(target)
        files = MachineResolvConf()
        files.write(inmate.pid, TEXT)
        assert not inmate.resolv_conf.is_symlink()
        files.restore(inmate.pid)
        assert os.readlink(inmate.resolv_conf) == target
        inmate.resolv_conf.unlink()
    assert precious.read_text() == "of the host\n"


def test_an_etc_that_leads_to_the_host_is_looked_for_inside(inmate: Inmate, tmp_path: Path) -> None:
    """An absolute link out of the container ends inside it; there is nothing there."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (inmate.root / "etc").rmdir()
    (inmate.root / "etc").symlink_to(outside)
    MachineResolvConf().write(inmate.pid, TEXT)
    assert list(outside.iterdir()) == []
    (inmate.root / str(outside).lstrip("/")).mkdir(parents=True)
    with folder_of_process(inmate.pid, "etc"):
        MachineResolvConf().write(inmate.pid, TEXT)
    assert list(outside.iterdir()) == []
    assert (inmate.root / str(outside).lstrip("/") / "resolv.conf").read_text() == TEXT


def test_without_openat2_no_part_of_the_way_may_be_a_link(tmp_path: Path) -> None:
    """Then a link is refused where it would be looked for inside."""
    (tmp_path / "usr/etc").mkdir(parents=True)
    (tmp_path / "etc").symlink_to("usr/etc")
    (tmp_path / "lib").symlink_to("usr")
    root = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    try:
        os.close(open_without_links(root, "usr/etc", os.O_RDONLY | os.O_DIRECTORY))
        for path in ("etc", "lib/etc"):
            with pytest.raises(OSError, match=path.partition("/")[0]):
                open_without_links(root, path, os.O_RDONLY | os.O_DIRECTORY)
    finally:
        os.close(root)


def test_a_fifo_holds_nobody_up(inmate: Inmate) -> None:
    """It is put aside like any file, without being opened for reading first."""
    os.mkfifo(inmate.resolv_conf)
    MachineResolvConf().write(inmate.pid, TEXT)
    assert inmate.resolv_conf.read_text() == TEXT


def test_what_the_machine_writes_later_is_its_own(inmate: Inmate) -> None:
    """Its file is neither overwritten nor taken away, and volt leaves nothing beside it."""
    inmate.resolv_conf.write_text("nameserver 192.0.2.53\n")
    files = MachineResolvConf()
    files.write(inmate.pid, TEXT)
    inmate.resolv_conf.write_text("nameserver 198.51.100.53\n")
    files.write(inmate.pid, TEXT)
    files.restore(inmate.pid)
    assert inmate.resolv_conf.read_text() == "nameserver 198.51.100.53\n"
    assert inmate.files() == ["resolv.conf"]


def test_another_text_replaces_volts_own(inmate: Inmate) -> None:
    """Also after a restart; it is still the machine's own file that comes back."""
    inmate.resolv_conf.write_text("nameserver 192.0.2.53\n")
    MachineResolvConf().write(inmate.pid, TEXT)
    other = content(IPv4Address("10.30.0.1"), [])
    files = MachineResolvConf()
    files.write(inmate.pid, other)
    assert inmate.resolv_conf.read_text() == other
    assert KEPT in inmate.files()
    files.restore(inmate.pid)
    assert inmate.resolv_conf.read_text() == "nameserver 192.0.2.53\n"


def test_a_machine_that_has_ended_is_no_error(inmate: Inmate) -> None:
    """Nothing happens, and nothing is raised."""
    inmate.end()
    files = MachineResolvConf()
    files.write(inmate.pid, TEXT)
    files.restore(inmate.pid)
