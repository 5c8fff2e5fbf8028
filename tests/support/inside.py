"""The first process of a private host: sets the host up, then does what it is asked on stdin.

It runs in network, mount and process namespaces of its own (and a user namespace, unless started by
root). The kernel ends every process of the host with it, and its mounts, links and rules with them:
so nothing can be left behind, however this ends. It ends when its stdin does.

One request per line, `{"id", "do", "with"}`, one answer per line, `{"id", "result"}` or
`{"id", "error"}`; answers come in the order in which the work is done.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from . import namespaces
from .traffic import Traffic

HOST_ADDRESS = "192.0.2.1"  # RFC 5737, TEST-NET-1
OUTSIDE_ADDRESS = "192.0.2.2"
HOST_ADDRESS6 = "2001:db8::1"  # RFC 3849
OUTSIDE_ADDRESS6 = "2001:db8::2"

_HOST_LINKS = f"""\
link set lo up
link add eth0 type veth peer name eth0 netns {namespaces.OUTSIDE}
address add {HOST_ADDRESS}/24 dev eth0
address add {HOST_ADDRESS6}/64 dev eth0 nodad
link set eth0 up
route add default via {OUTSIDE_ADDRESS}
"""
# The route makes the outside host a neighbour that knows where the workloads live: what it cannot
# reach, it cannot reach because of the firewall.
_OUTSIDE_LINKS = f"""\
link set lo up
address add {OUTSIDE_ADDRESS}/24 dev eth0
address add {OUTSIDE_ADDRESS6}/64 dev eth0 nodad
link set eth0 up
route add 10.0.0.0/8 via {HOST_ADDRESS}
"""

Command = Callable[..., Any]


def prepare() -> None:
    """Give the host a /run and an /etc of its own, and an uplink to a neighbour."""
    namespaces.mount("tmpfs", Path("/run"), "mode=755,size=256m")
    for directory in (namespaces.NAMED, namespaces.OUTSIDE.parent):
        directory.mkdir()
    _private_etc(namespaces.OUTSIDE.parent / "etc")
    with suppress(PermissionError):  # refused in a container that masks parts of /sys
        namespaces.mount("sysfs", Path("/sys"))
    namespaces.add_namespace(namespaces.OUTSIDE)
    _ip(["ip"], _HOST_LINKS)
    _ip(["nsenter", f"--net={namespaces.OUTSIDE}", "ip"], _OUTSIDE_LINKS)


def _private_etc(room: Path) -> None:
    """An /etc that reads like the machine's and takes changes that the machine never sees."""
    upper, work = room / "upper", room / "work"
    upper.mkdir(parents=True)
    work.mkdir()
    try:
        options = f"lowerdir=/etc,upperdir={upper},workdir={work}"
        namespaces.mount("overlay", Path("/etc"), options)
    except OSError:  # no overlay file system here: a copy does, without what may not be read
        with suppress(shutil.Error):
            shutil.copytree("/etc", upper, symlinks=True, dirs_exist_ok=True)
        namespaces.bind_mount(upper, Path("/etc"))
    # Often a link into the machine's /run, which is not there any more.
    resolv = Path("/etc/resolv.conf")
    resolv.unlink(missing_ok=True)
    resolv.write_text(f"nameserver {OUTSIDE_ADDRESS}\n")
    shutil.rmtree("/etc/volt", ignore_errors=True)
    # The machine's own one would belong to somebody who is nobody in a user namespace.
    namespaces.NAMED_ETC.mkdir(exist_ok=True)
    namespaces.mount("tmpfs", namespaces.NAMED_ETC, "mode=755,size=16m")


def _ip(command: list[str], batch: str) -> None:
    subprocess.run([*command, "-batch", "-"], input=batch, text=True, check=True)


def commands(traffic: Traffic) -> dict[str, Command]:
    """What may be asked for, by name."""

    def add_namespace(name: str) -> float:
        return namespaces.add_namespace(namespaces.NAMED / name)

    def delete_namespace(name: str) -> float:
        traffic.leave(name)  # a socket would keep the namespace alive
        return namespaces.delete_namespace(namespaces.NAMED / name)

    async def appear(name: str, server: str, address: str, within: float) -> float:
        """Start a workload; seconds until its name is right, asked from the host."""
        born = add_namespace(name)
        return await traffic.await_name("host", server, name, address, within) - born

    async def vanish(name: str, server: str, within: float) -> float:
        """Stop a workload; seconds until its name is gone, asked from the host."""
        died = delete_namespace(name)
        return await traffic.await_name("host", server, name, None, within) - died

    return {
        "appear": appear,
        "vanish": vanish,
        "add_namespace": add_namespace,
        "delete_namespace": delete_namespace,
        "serve": traffic.serve,
        "leave": traffic.leave,
        "probe": traffic.probe,
        "query": traffic.query,
        "await_name": traffic.await_name,
        "start_stream": traffic.start_stream,
        "await_progress": traffic.await_progress,
        "progress": traffic.progress,
        "stop_stream": traffic.stop_stream,
    }


async def answer(known: dict[str, Command], line: bytes) -> None:
    """Do what one line asks for and say what came of it."""
    request = json.loads(line)
    reply: dict[str, Any] = {"id": request["id"]}
    try:
        result = known[request["do"]](**request["with"])
        reply["result"] = await result if isinstance(result, Awaitable) else result
    except Exception as error:  # the asker gets it, and raises
        reply["error"] = f"{type(error).__name__}: {error}"
    sys.stdout.write(json.dumps(reply) + "\n")
    sys.stdout.flush()


async def work() -> None:
    """Answer until stdin ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=16 * 1024 * 1024)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    known = commands(Traffic())
    tasks: set[asyncio.Task[None]] = set()
    while line := await reader.readline():
        task = asyncio.create_task(answer(known, line))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started the host
    prepare()
    # A thousand streams need two thousand descriptors.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 65536), most))
    # Orphans of the host become children of this process: the kernel may forget them at once.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)
    asyncio.run(work())
    # Without waiting for tasks or threads: everything in the host ends with this process.
    os._exit(0)


if __name__ == "__main__":
    main()
