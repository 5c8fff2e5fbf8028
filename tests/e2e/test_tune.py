"""`volt tune` on a private host, whose /etc and network settings are its own."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import pytest

from tests.support.host import Host

pytestmark = pytest.mark.kernel

FILE = "/etc/sysctl.d/90-volt.conf"
SOMAXCONN = "/proc/sys/net/core/somaxconn"


@pytest.fixture
def lent(lasting: Host) -> Iterator[Host]:
    """The host of all tests here; the settings of one are given back after it."""
    yield lasting
    for each in lasting.call("tune.sysctl.list"):
        lasting.call("tune.sysctl.reset", key=each["key"])
    assert not lasting.path(FILE).exists()


def test_a_setting_is_kept_and_given_back(lent: Host) -> None:
    """Set, seen by the kernel and by the boot's own reader of the file; reset, and no trace."""
    before = lent.run("cat", SOMAXCONN).stdout.strip()
    lent.volt("tune", "sysctl", "set", "net/core/somaxconn", "65535")
    lent.volt("tune", "sysctl", "set", "net.ipv4.tcp_rmem", "4096 131072 1048576")
    assert lent.run("cat", SOMAXCONN).stdout == "65535\n"
    lines = lent.path(FILE).read_text().splitlines()
    assert lines[0].startswith("#")
    assert lines[1:] == ["net.core.somaxconn = 65535", "net.ipv4.tcp_rmem = 4096 131072 1048576"]
    listed = lent.volt_json("tune", "sysctl", "list")
    assert [each["key"] for each in listed] == ["net.core.somaxconn", "net.ipv4.tcp_rmem"]
    assert listed[0] == {
        "key": "net.core.somaxconn",
        "value": "65535",
        "former": before,
        "kept": "65535",
    }
    for key in ("net.core.somaxconn", "net.ipv4.tcp_rmem"):
        lent.volt("tune", "sysctl", "reset", key)
    assert lent.run("cat", SOMAXCONN).stdout.strip() == before
    assert not lent.path(FILE).exists()
    assert lent.volt_json("tune", "sysctl", "list") == []


@pytest.mark.parametrize("reader", [["sysctl", "-p", FILE], ["/lib/systemd/systemd-sysctl", FILE]])
def test_the_boot_reads_the_file_as_it_is_meant(lent: Host, reader: list[str]) -> None:
    """procps and systemd both set what volt had set, also for an interface with a dot."""
    lent.run("ip", "link", "add", "a.b", "type", "bridge")
    key = "net/ipv4/conf/a.b/arp_ignore"
    lent.volt("tune", "sysctl", "set", key, "2")
    lent.volt("tune", "sysctl", "set", "net.core.somaxconn", "512")
    # As at a boot: the file stays, the kernel forgets.
    for path, other in ((f"/proc/sys/{key}", "0"), (SOMAXCONN, "128")):
        lent.run("sh", "-c", f"echo {other} > {path}")
    lent.run(*reader)
    assert lent.run("cat", f"/proc/sys/{key}", SOMAXCONN).stdout == "2\n512\n"
    lent.call("tune.sysctl.reset", key=key)
    lent.run("ip", "link", "delete", "a.b")


def test_runtime_leaves_no_file(lent: Host) -> None:
    """`--runtime` is for now; what is kept stays kept beside it."""
    lent.volt("tune", "sysctl", "set", "net.core.somaxconn", "300", "--runtime")
    assert lent.run("cat", SOMAXCONN).stdout == "300\n"
    assert not lent.path(FILE).exists()
    lent.volt("tune", "sysctl", "set", "net.core.somaxconn", "400")
    lent.volt("tune", "sysctl", "set", "net.core.somaxconn", "500", "--runtime")
    assert lent.path(FILE).read_text().endswith("net.core.somaxconn = 400\n")


def test_settings_outlive_the_agent(lent: Host) -> None:
    """After a crash it still knows what was there before."""
    before = lent.run("cat", SOMAXCONN).stdout
    lent.volt("tune", "sysctl", "set", "net.core.somaxconn", "300")
    lent.stop_agent(signal.SIGKILL)
    lent.start_agent()
    lent.volt("tune", "sysctl", "reset", "net.core.somaxconn")
    assert lent.run("cat", SOMAXCONN).stdout == before


def test_the_handbook_sets_forwarding(lent: Host) -> None:
    """On is what volt has it at anyway; off is refused, and a reset leaves workloads connected."""
    forward = "net.ipv4.ip_forward"
    lent.volt("tune", "sysctl", "set", forward, "1")
    off = lent.volt("tune", "sysctl", "set", forward, "0", check=False)
    assert (off.returncode, off.stderr.count("\n")) == (1, 2)
    lent.volt("tune", "sysctl", "reset", forward)
    assert lent.volt("tune", "sysctl", "get", forward).stdout == f"{forward} = 1\n"


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["sysctl", "get", "net.ipv4.nothing"], 3, "there is no setting"),
        (["sysctl", "get", "net.ipv4"], 3, "group of settings"),
        (["sysctl", "get", "kernel.core_pattern"], 2, "begin with net"),
        (["sysctl", "get", "net/../kernel/core_pattern"], 2, "malformed key"),
        (["sysctl", "set", "kernel.modprobe", "/bin/x"], 2, "begin with net"),
        (["sysctl", "set", "net.core.somaxconn", "abc"], 2, "does not take 'abc'"),
        (["sysctl", "set", "net.core.somaxconn", "7 abc"], 2, "would make '7'"),
        (["sysctl", "set", "net.core.somaxconn", "--", "-1"], 2, "does not take '-1'"),
        (["sysctl", "set", "net.core.somaxconn", "99999999999"], 2, "does not take"),
        (["sysctl", "set", "net.core.somaxconn", "1\n2"], 2, "one line"),
        (["sysctl", "set", "net.core.somaxconn", ""], 2, "empty"),
        (["sysctl", "set", "net.core.rmem_max", "4096"], 1, "may not be written"),
        (["sysctl", "set", "net.ipv4.route.flush", "1"], 1, "cannot be read"),
        (["sysctl", "reset", "net.core.somaxconn"], 3, "not set through volt"),
        (["net", "buffers", "--rmem-max", "16Q"], 2, "not a size"),
        (["net", "buffers", "--rmem-max", "-1"], 2, "not a size"),
        (["net", "buffers"], 2, "no size"),
    ],
)
def test_bad_input_changes_nothing(
    lasting: Host, arguments: list[str], status: int, words: str
) -> None:
    """One error, one hint, and neither the kernel nor the file has changed."""
    host = lasting
    before = host.run("cat", SOMAXCONN).stdout
    done = host.volt("tune", *arguments, check=False)
    assert (done.returncode, done.stdout) == (status, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert host.run("cat", SOMAXCONN).stdout == before
    assert not host.path(FILE).exists()


def test_a_file_that_cannot_be_written_undoes_the_change(lent: Host) -> None:
    """The kernel has the old value again, and nothing is remembered."""
    before = lent.run("cat", SOMAXCONN).stdout
    lent.run("mount", "-t", "tmpfs", "-o", "ro", "none", "/etc/sysctl.d")
    done = lent.volt("tune", "sysctl", "set", "net.core.somaxconn", "300", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot write /etc/sysctl.d/90-volt.conf: Read-only file system" in done.stderr
    assert lent.run("cat", SOMAXCONN).stdout == before
    assert lent.volt_json("tune", "sysctl", "list") == []
    lent.run("umount", "/etc/sysctl.d")


def test_a_file_of_somebody_else_is_left_alone(lent: Host) -> None:
    """What volt did not write it does not replace."""
    lent.path(FILE).write_text("net.core.somaxconn = 7\n")
    done = lent.volt("tune", "sysctl", "set", "net.core.somaxconn", "300", check=False)
    assert "was not written by volt" in done.stderr
    assert lent.path(FILE).read_text() == "net.core.somaxconn = 7\n"
    lent.path(FILE).unlink()


def test_what_is_listed(lent: Host) -> None:
    """A pattern of a shell, or a part of a key; and what matters for speed."""
    found = lent.volt_json("tune", "sysctl", "list", "somaxconn")
    assert [each["key"] for each in found] == ["net.core.somaxconn"]
    shown = json.loads(lent.volt("tune", "net", "show", "-o", "json").stdout)
    assert {"net.core.rmem_max", "net.core.wmem_max"} <= {each["key"] for each in shown}


@pytest.mark.parametrize("is_running", [True, False])
def test_a_purge_leaves_no_file(running: Host, is_running: bool) -> None:
    """What the agent forgets, no boot sets again; a reset without it forgets nothing."""
    running.volt("tune", "sysctl", "set", "net.core.somaxconn", "300")
    if not is_running:
        running.stop_agent()
        running.volt("agent", "reset")
        assert running.path(FILE).exists()
    done = running.volt("agent", "reset", "--purge")
    assert f"{FILE}: what it set stays until the next boot" in done.stdout
    assert not running.path(FILE).exists()
