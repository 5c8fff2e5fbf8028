"""`make demo`: volt's main job on a private host, with the real agent and the real command.

Every step checks what it shows; the exit status is 1 if anything is not as it should be. How fast
something took effect is measured from outside the agent: from the moment the container exists (or
is gone) until the first right answer of the DNS server, and until the first connection.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support import leftovers
from tests.support.host import Host
from tests.support.machine import Result
from tests.support.traffic import Attempt

CONTAINERS = ("api-server", "db-primary")
GATEWAY = "10.30.0.1"
POSTGRES = 5432
# The handbook's words. bash connects by name (/dev/tcp), as any program would.
HELLO = f"exec 3<>/dev/tcp/db-primary/{POSTGRES} && echo hello >&3 && head -1 <&3"


class Demo:
    """The steps, in order, on a host."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def start_agent(self) -> None:
        """The agent comes up and has made the default bridge."""
        began = time.monotonic()
        self._host.start_agent()
        effect("agent ready, volt0 up", began, time.monotonic())
        self._volt("net list", expect="volt0")

    def connect(self) -> None:
        """A network, and two containers that start on it."""
        self._volt("net create --name backend --subnet 10.30.0.0/24", expect="backend")
        for name in CONTAINERS:
            self._volt(f"net connect backend {name}", expect=name)
            self._start(name)

    def find_by_name(self) -> None:
        """One finds the other by name and talks to it."""
        address = self._host.address_of("db-primary")
        self._inside("api-server", "getent hosts db-primary", expect=address)
        self._inside("api-server", f"bash -c {shlex.quote(HELLO)}", expect="hello")

    def show(self) -> None:
        """What there is."""
        self._volt("ps", expect="api-server")
        self._volt("net list", expect="backend")
        self._volt("net dns list", expect="db-primary")
        self._volt("net status", expect="backend")

    def stop_one(self) -> None:
        """A container stops and its name is gone."""
        address = self._host.address_of("db-primary")
        say("$ ip netns delete db-primary    # the container stops")
        died = self._host.remove_workload("db-primary")
        gone = self._host.traffic.await_name("api-server", GATEWAY, "db-primary", None)
        effect("the name db-primary is gone", died, gone)
        self._inside("api-server", "getent hosts db-primary", expect="", status=2)
        check(not self._host.traffic.reaches("api-server", address, "tcp", POSTGRES), "still there")
        self._volt("ps", expect="stopped")

    def _start(self, name: str) -> None:
        host = self._host
        address = next(
            place["ip"]
            for each in host.volt_json("ps")
            for place in each["networks"]
            if each["name"] == name
        )
        say(f"$ ip netns add {name}    # the container starts")
        born = host.add_workload(name)
        named = host.traffic.await_name("host", GATEWAY, name, address)
        host.traffic.serve(name, tcp=[POSTGRES])
        host.traffic.await_answer(Attempt("host", address, "tcp", POSTGRES))
        effect(f"{name} is {address} on backend, by name", born, named)
        planes = host.events("workload.started")[-1]["planes_ms"]
        say("    " + ", ".join(f"{plane} {spent:.1f}" for plane, spent in planes.items()), DIM)

    def _volt(self, arguments: str, expect: str) -> None:
        say(f"$ volt {arguments}", BOLD)
        verify(self._host.volt(*arguments.split(), check=False), expect)

    def _inside(self, name: str, command: str, expect: str, status: int = 0) -> None:
        say(f"$ ip netns exec {name} {command}", BOLD)
        verify(self._host.run(*shlex.split(command), where=name, check=False), expect, status)


BOLD, DIM, GREEN = "1", "2", "32"


def say(text: str, style: str = "") -> None:
    """Print a line, styled on a terminal (https://no-color.org)."""
    if style and sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        text = f"\x1b[{style}m{text}\x1b[0m"
    if text:
        print(text, flush=True)


def effect(what: str, began: float, done: float) -> None:
    """Say how long it took (times are monotonic seconds)."""
    say(f"  -> {what}: after {(done - began) * 1000:.1f} ms", GREEN)


def verify(done: Result, expect: str, status: int = 0) -> None:
    """Show what a command said, which must contain `expect`, and check its exit status."""
    say((done.stdout + done.stderr).rstrip())
    check(done.returncode == status, f"the exit status is {done.returncode}, not {status}")
    check(expect in done.stdout, f"{expect!r} is missing from that")


class DemoFailed(Exception):
    """Something that the demo shows is not so."""


def check(right: bool, otherwise: str) -> None:
    if not right:
        raise DemoFailed(otherwise)


@contextmanager
def nothing_left_behind() -> Iterator[None]:
    """The machine is afterwards as it was."""
    before = leftovers.machine(CONTAINERS)
    yield
    left = leftovers.added(before, leftovers.machine(CONTAINERS))
    check(not left, f"something was left behind on the machine: {left}")


def main() -> int:
    began = time.monotonic()
    try:
        with nothing_left_behind(), Host(os.environ.get("VOLT_DEMO_CONFIG", "")) as host:
            demo = Demo(host)
            say("A private host: its own network, nothing of this machine's is touched.", DIM)
            for step in (
                demo.start_agent,
                demo.connect,
                demo.find_by_name,
                demo.show,
                demo.stop_one,
            ):
                say("\n# " + (step.__doc__ or ""), BOLD)
                try:
                    step()
                except BaseException:
                    say("\n" + host.agent_log(), DIM)
                    raise
    except (DemoFailed, AssertionError, TimeoutError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    say(f"\nDone in {time.monotonic() - began:.1f} s; the host is gone and left nothing behind.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
