"""What can go wrong, named by who has to act.

Every error that a user may see is a `VoltError`: one line that says what is wrong and where (for a
configuration one for each mistake), and a hint that says what to do next. `code` is stable and
travels over the RPC; `exit_status` is what the command line returns (docs/commands/volt.md). Errors
of libraries and of the kernel are translated where they enter (`kernel.edge`, `store.database`),
never here.
"""

from __future__ import annotations

__all__ = [
    "AgentNotRunning",
    "Failed",
    "Forbidden",
    "Invalid",
    "KernelRefused",
    "NotFound",
    "Refused",
    "StoreFailed",
    "VoltError",
]


class VoltError(Exception):
    """An error for a user: `message` (one line), `hint` (what to do next, or None)."""

    code = "failed"
    exit_status = 1
    http_status = 500

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __repr__(self) -> str:
        return f"<{type(self).__name__} [{self.code}] {self.message!r}>"


class Invalid(VoltError):
    """The request is malformed whatever the state is: the caller has to write it differently."""

    code = "invalid"
    exit_status = 2
    http_status = 400


class Refused(VoltError):
    """The request is well formed, but the present state forbids it (taken, in use, overlapping)."""

    code = "refused"
    http_status = 409


class NotFound(VoltError):
    """The request names something that does not exist."""

    code = "not_found"
    exit_status = 3
    http_status = 404


class Forbidden(VoltError):
    """The caller may not do this."""

    code = "forbidden"
    http_status = 403


class Failed(VoltError):
    """The agent could not do it: the operator of the host has to look."""


class StoreFailed(Failed):
    """The change could not be made durable, so it was not made at all."""

    code = "store_failed"
    http_status = 507


class KernelRefused(Failed):
    """The kernel refused an operation; `errno` is its reason (0 where it gave none)."""

    code = "kernel_refused"

    def __init__(self, message: str, errno: int = 0, hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.errno = errno


class AgentNotRunning(VoltError):
    """Nobody answers on the control socket."""

    code = "agent_not_running"
    exit_status = 4
    http_status = 503
