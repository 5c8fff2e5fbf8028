"""Who listens on the host, and which ports sshd needs."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kernel.worlds import LinuxWorld, on_linux
from volt_agent.kernel.host import (
    Listener,
    configured_ssh_ports,
    has_bridge_netfilter,
    is_waiting,
    listening_ports,
    parse_socket,
    parse_ssh_line,
    sshd_ports,
)
from volt_agent.kernel.ops import SetLink

NOBODY = 65534
LISTEN = (
    "   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 "
    "12345 1 0000000000000000 100 0 0 10 0"
)


def test_a_line_of_proc_net_tcp_is_a_listener() -> None:
    """Addresses are words in the host's byte order, ports hexadecimal."""
    assert is_waiting("tcp", LISTEN)
    assert parse_socket("tcp", LISTEN) == (12345, Listener("tcp", "0.0.0.0", 22))
    established = LISTEN.replace(" 0A ", " 01 ")
    assert not is_waiting("tcp", established)
    assert is_waiting("udp", LISTEN.replace(" 0A ", " 07 "))


@pytest.mark.skipif(sys.byteorder != "little", reason="the samples are little-endian")
@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0100007F", "127.0.0.1"),
        ("0A1E000A", "10.0.30.10"),
        ("0" * 32, "::"),
        ("B80D0120000000000000000001000000", "2001:db8::1"),
        ("0000000000000000FFFF00000A01000A", "10.0.1.10"),
    ],
)
def test_addresses_in_proc_net(text: str, address: str) -> None:
    """An IPv4 address in an IPv6 socket is shown as what it is."""
    line = LISTEN.replace("00000000:0016", f"{text}:0016", 1)
    assert parse_socket("tcp", line)[1].address == address


@given(st.text(max_size=120))
def test_other_lines_are_refused(line: str) -> None:
    """ValueError and nothing else."""
    try:
        parse_socket("tcp", line)
    except ValueError:
        return
    assert is_waiting("tcp", line) in (True, False)


@pytest.mark.kernel
def test_listeners_of_this_namespace_are_found_with_their_processes() -> None:
    """TCP and UDP, IPv4 and IPv6; not on loopback, not connected, not another namespace's."""

    async def scenario(world: LinuxWorld) -> None:
        await world.edge.execute([SetLink(name="lo", up=True)])
        name = own_name()
        with (
            socket.create_server(("0.0.0.0", 8080)),
            socket.create_server(("127.0.0.1", 8081)) as loopback,
            socket.create_server(("::", 8082), family=socket.AF_INET6),
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
            socket.create_connection(loopback.getsockname()),
        ):
            udp.bind(("0.0.0.0", 5353))
            # In a thread, as the agent does: the namespace counts, not the process.
            assert await asyncio.to_thread(listening_ports) == [
                Listener("tcp", "0.0.0.0", 8080, name),
                Listener("tcp", "::", 8082, name),
                Listener("udp", "0.0.0.0", 5353, name),
            ]

    on_linux(scenario)


def own_name() -> str:
    return Path("/proc/self/comm").read_text().strip()


@pytest.mark.kernel
def test_sshd_is_asked_where_it_listens(tmp_path: Path) -> None:
    """By the name of its process, wherever it was told to; who is not root is no sshd."""

    async def scenario(_world: LinuxWorld) -> None:
        with process_named_sshd(2222):
            assert sshd_ports(etc=tmp_path) == {2222}
            (tmp_path / "sshd_config").write_text("Port 2200\n")
            assert sshd_ports(etc=tmp_path) == {2222, 2200}
        assert sshd_ports(etc=tmp_path) == {2200}
        with process_named_sshd(2222, NOBODY):
            assert sshd_ports(etc=tmp_path) == {2200}

    on_linux(scenario)


@contextmanager
def process_named_sshd(port: int, user: int = 0) -> Iterator[None]:
    """A process that calls itself sshd and listens."""
    serve = (
        "import ctypes, os, socket, sys\n"
        "ctypes.CDLL(None).prctl(15, b'sshd', 0, 0, 0)\n"
        f"os.setuid({user})\n"
        f"with socket.create_server(('0.0.0.0', {port})):\n"
        "    print('up', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", serve]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        yield
        process.communicate()


def test_port_22_stays_open_when_nobody_says_otherwise(tmp_path: Path) -> None:
    """No sshd, no configuration: the administrator may still install one."""
    assert sshd_ports(proc=fake_proc(tmp_path), etc=tmp_path / "none") == {22}


def test_systemd_owns_only_what_nobody_else_does(tmp_path: Path) -> None:
    """It keeps a copy of the sockets that it passes on."""
    proc = fake_proc(tmp_path)
    assert listening_ports(proc) == [Listener("tcp", "0.0.0.0", 22, None)]
    add_process(proc, 1, "systemd", "socket:[12345]")
    assert listening_ports(proc) == [Listener("tcp", "0.0.0.0", 22, "systemd")]
    add_process(proc, 700, "sshd", "socket:[12345]")
    add_process(proc, 800, "other", "socket:[99999]")
    assert listening_ports(proc) == [Listener("tcp", "0.0.0.0", 22, "sshd")]


def test_a_process_may_be_called_anything(tmp_path: Path) -> None:
    """Also what is no text, or would move the cursor: it keeps nobody from looking."""
    proc = fake_proc(tmp_path)
    add_process(proc, 600, "", "socket:[99999]")
    (proc / "600/comm").write_bytes(b"\xff\xfe\n")
    add_process(proc, 700, "", "socket:[12345]")
    (proc / "700/comm").write_bytes(b"a\x1b[2J\nb\xc3\n")
    (found,) = listening_ports(proc)
    assert found.process == "a\ufffd[2J\ufffdb\ufffd"
    assert sshd_ports(proc, tmp_path) == {22}


def fake_proc(folder: Path) -> Path:
    (folder / "thread-self/net").mkdir(parents=True)
    (folder / "thread-self/net/tcp").write_text("  sl  local_address ...\n" + LISTEN + "\n")
    return folder


def add_process(proc: Path, pid: int, name: str, target: str) -> None:
    (proc / str(pid) / "fd").mkdir(parents=True)
    (proc / str(pid) / "comm").write_text(name + "\n")
    os.symlink(target, proc / str(pid) / "fd" / "3")


@pytest.mark.parametrize(
    ("line", "port"),
    [
        ("Port 2222", 2222),
        ("  port=2222", 2222),
        ("PORT\t2222 # the usual one", 2222),
        ('Port "2222"', 2222),
        ("#Port 2222", None),
        ("Port 0", None),
        ("Port 99999", None),
        ("Port many", None),
        ("PortForwarding 22", None),
        ("ListenAddress 10.0.0.1:2222", 2222),
        ("ListenAddress [::1]:2222", 2222),
        ("ListenAddress 10.0.0.1", None),
        ("ListenAddress ::1", None),
        ("ListenAddress host.example:2222", 2222),
        ("", None),
    ],
)
def test_lines_of_sshd_config(line: str, port: int | None) -> None:
    """Keywords in any case, with a space or an equals sign."""
    assert parse_ssh_line(line) == port


@given(st.text(max_size=60))
def test_any_line_of_sshd_config_is_a_port_or_nothing(line: str) -> None:
    """It is read as root, but written by people."""
    port = parse_ssh_line(line)
    assert port is None or 0 < port < 65536


def test_sshd_config_and_its_folder_are_read(tmp_path: Path) -> None:
    """Only *.conf files, as sshd includes them."""
    (tmp_path / "sshd_config").write_text("Port 2200\nInclude /etc/ssh/sshd_config.d/*.conf\n")
    (tmp_path / "sshd_config.d").mkdir()
    (tmp_path / "sshd_config.d/a.conf").write_bytes(b"Port 2201\n\xff\xff\n")
    (tmp_path / "sshd_config.d/a.conf.bak").write_text("Port 2202\n")
    assert configured_ssh_ports(tmp_path) == {2200, 2201}


def test_bridge_netfilter_is_there_or_not(tmp_path: Path) -> None:
    """By the setting that the module brings along."""
    assert not has_bridge_netfilter(tmp_path)
    (tmp_path / "sys/net/bridge").mkdir(parents=True)
    (tmp_path / "sys/net/bridge/bridge-nf-call-iptables").touch()
    assert has_bridge_netfilter(tmp_path)
