"""The agent as a service in a private host, under the stand-in for systemd.

Inside runs `python -m tests.support.service COMMAND...`: one order per line on stdin ("start",
"restart", "kill", "stop", "state"), each answered by one line of JSON. Outside is `Service`.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

from .machine import ROOM, Machine
from .service_manager import ServiceManager

ORDER_WITHIN = 150.0


class Service:
    """A service of a private machine; every order returns the state that it led to.

    A state is `{"pid", "status", "states", "store", "refused"}`, as in `ServiceManager`; `pid` is
    that within the machine.
    """

    def __init__(self, machine: Machine, *command: str) -> None:
        with machine.path(ROOM / "agent.log").open("a") as log:
            self._manager = machine.start(
                *machine.python("-m", "tests.support.service"),
                *command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )

    def order(self, what: str) -> dict[str, Any]:
        """Give an order; raises AssertionError if it could not be carried out."""
        self._manager.stdin.write(what + "\n")
        self._manager.stdin.flush()
        readable, _, _ = select.select([self._manager.stdout], [], [], ORDER_WITHIN)
        line = self._manager.stdout.readline() if readable else ""
        assert line, f"the service manager did not answer to {what}"
        state: dict[str, Any] = json.loads(line)
        assert "error" not in state, f"{what}: {state['error']}"
        return state

    def close(self) -> None:
        """End the service and its manager."""
        self._manager.stdin.close()
        self._manager.wait()
        self._manager.stdout.close()


def main(command: Sequence[str]) -> None:
    """Carry out orders until stdin ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the service prints is no answer of ours
    manager = ServiceManager(command)
    orders: dict[str, Callable[[], None]] = {
        "start": manager.start,
        "restart": manager.restart,
        "kill": manager.kill,
        "stop": manager.stop,
        "state": lambda: None,
    }
    try:
        while True:
            readable, _, _ = select.select([0], [], [], 0.02)
            manager.handle(0)
            if readable:
                order = sys.stdin.readline().strip()
                if not order:
                    return
                print(json.dumps(_carry_out(manager, orders[order])), file=answers, flush=True)
    finally:
        manager.close()


def _carry_out(manager: ServiceManager, order: Callable[[], None]) -> dict[str, Any]:
    try:
        order()
    except OSError as error:  # TimeoutError and ChildProcessError too
        return {"error": f"{type(error).__name__}: {error}"}
    return {
        "pid": manager.pid,
        "status": manager.status,
        "states": manager.states,
        "store": [name for name, _ in manager.store],
        "refused": manager.refused,
    }


if __name__ == "__main__":
    main(sys.argv[1:])
