"""A private host: a machine of its own, with the real agent and the real `volt` in it.

with Host() as host:
    host.start_agent()
    host.add_workload("web")
    host.volt("net", "connect", "volt0", "web")
"""

from __future__ import annotations

import http.client
import json
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .inside import HOST_ADDRESS, HOST_ADDRESS6, OUTSIDE_ADDRESS, OUTSIDE_ADDRESS6
from .machine import ROOM, Machine, Result
from .process import PATIENCE, Process, wait_until

__all__ = ["HOST_ADDRESS", "HOST_ADDRESS6", "OUTSIDE_ADDRESS", "OUTSIDE_ADDRESS6", "Host", "Result"]

SOCKET = "/run/volt/agent.sock"


class Host(Machine):
    """A private machine on which volt is installed; `config` is the text of its config.yaml."""

    def __init__(self, config: str = "", **machine: Any) -> None:
        super().__init__(**machine)
        self.agent: Process | None = None
        try:
            self._install(config)
        except BaseException:
            self.close()
            raise

    # ---- the agent ------------------------------------------------------------------------------

    def start_agent(self, *options: str, wait: bool = True, **more: Any) -> Process:
        """Run `volt agent run`; returns when it is ready, or raises AssertionError with its log."""
        with self.log_path.open("a") as log:
            self.agent = self.start(*self.agent_command, *options, stderr=log, stdout=log, **more)
        if wait:
            self.await_ready()
        return self.agent

    @property
    def agent_command(self) -> list[str]:
        return [f"{self.room}/bin/volt", "agent", "run"]

    def stop_agent(self, how: signal.Signals = signal.SIGTERM, within: float = PATIENCE) -> int:
        """End the agent with a signal; its exit status, negative if the signal killed it."""
        assert self.agent is not None, "no agent was started"
        return self.agent.end(how, within)

    def await_ready(self, within: float = PATIENCE) -> None:
        """Wait until /readyz says yes."""

        def ready() -> bool:
            if self.agent is not None and self.agent.poll() is not None:
                raise AssertionError(
                    f"the agent ended with {self.agent.poll()}:\n{self._last_words()}"
                )
            return self.is_ready()

        try:
            wait_until(ready, "the agent is ready", within)
        except TimeoutError as error:
            raise AssertionError(f"{error}\n{self._last_words()}") from None

    def is_ready(self) -> bool:
        """Whether the agent answers and says that it has converged."""
        try:
            return self.get("/readyz")[0] == 200
        except OSError:
            return False

    @property
    def log_path(self) -> Path:
        return self.path(self.room / "agent.log")

    def agent_log(self) -> str:
        """What the agents of this host have logged so far."""
        return self.log_path.read_text() if self.log_path.exists() else ""

    def _last_words(self) -> str:
        return "\n".join(self.agent_log().splitlines()[-40:])

    def get(self, path: str) -> tuple[int, str]:
        """GET from the control socket: status and body."""
        return self.request("GET", path)

    def call(self, method: str, **params: Any) -> Any:
        """Call an RPC method directly (no process is started); raises RpcError."""
        status, body = self.request("POST", f"/v1/{method}", json.dumps(params))
        result = json.loads(body)
        if status != 200:
            raise RpcError(status, result["error"])
        return result

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """The agent's last outcomes, oldest first: all, or those called `name`."""
        status, body = self.get("/v1/events?recent=1000&follow=false")
        assert status == 200, body
        found = [json.loads(line) for line in body.splitlines()]
        return [each for each in found if name in (None, each["event"])]

    def request(self, verb: str, path: str, body: str | None = None) -> tuple[int, str]:
        """One HTTP request over the control socket."""
        connection = _UnixConnection(str(self.path(SOCKET)))
        try:
            connection.request(verb, path, body=body)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except http.client.HTTPException as error:  # cut off in the middle
            raise ConnectionResetError(f"{verb} {path}: {error!r}") from None
        finally:
            connection.close()

    # ---- volt -----------------------------------------------------------------------------------

    def volt(self, *arguments: str, **how: Any) -> Result:
        """Run the `volt` command; `how` as for `run`."""
        return self.run(f"{self.room}/bin/volt", *arguments, **how)

    def volt_json(self, *arguments: str) -> Any:
        """What a `volt` command prints with `-o json`."""
        return json.loads(self.volt(*arguments, "-o", "json").stdout)

    # ---- workloads ------------------------------------------------------------------------------

    def add_workload(self, name: str) -> float:
        """Start a container without a runtime: a named namespace. Returns when (monotonic)."""
        return float(self.do("add_namespace", name=name))

    def remove_workload(self, name: str) -> float:
        """Stop it: its servers close and the namespace goes. Returns when (monotonic)."""
        return float(self.do("delete_namespace", name=name))

    def connect(self, network: str, *workloads: str) -> dict[str, str]:
        """Start workloads connected to `network`; returns their addresses, once reachable."""
        for name in workloads:
            if not self.path(f"/run/netns/{name}").exists():
                self.add_workload(name)
            self.call("net.connect", network=network, workload=name)
        return {name: self.address_of(name, network) for name in workloads}

    def address_of(self, name: str, network: str | None = None) -> str:
        """The address of a running workload, waiting for it."""

        def look() -> str | None:
            for each in self.call("ps"):
                if each["name"] == name and each["state"] == "running":
                    for place in each["networks"]:
                        if network in (None, place["network"]) and place["ip"]:
                            return str(place["ip"])
            return None

        return wait_until(look, f"{name} has an address on {network or 'a network'}")

    def _install(self, config: str) -> None:
        """A `volt` command and the configuration, in the host's own room."""
        launcher = (
            f"#!{self._interpreter}\n"
            "import sys\nfrom volt_agent.cli import main\nsys.exit(main())\n"
        )
        for name, text, mode in (
            ("bin/volt", launcher, 0o755),
            ("config.yaml", config, 0o644),
        ):
            path = self.path(ROOM / name)
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            path.chmod(mode)


class RpcError(AssertionError):
    """The agent answered with an error: `status` and its `code`, `message`, `hint`."""

    def __init__(self, status: int, error: Mapping[str, Any]) -> None:
        super().__init__(f"{status} {error['code']}: {error['message']}")
        self.status = status
        self.code = error["code"]
        self.hint = error.get("hint")


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
