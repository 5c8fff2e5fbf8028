"""What goes wrong, as users see it: one line `error: ...`, a `hint: ...`, and the exit status.

0 done, 1 refused or failed, 2 usage, 3 not found, 4 the agent is not running, 5 `policy test` says
DENIED; 130 after Ctrl-C and 141 when nobody reads the output, as for any program that dies of these
signals. VOLT_DEBUG=1 shows the traceback.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Sequence

import typer

from ..errors import Invalid, VoltError
from .output import printable

INTERRUPTED = 130
NOBODY_READS = 141


def exit_status_of(run: Callable[[Sequence[str] | None], None], args: Sequence[str] | None) -> int:
    """Run `run(args)`, say on standard error what went wrong; returns the exit status."""
    _repair_streams()
    try:
        try:
            run(args)
        finally:
            sys.stdout.flush()
    except typer.Exit as done:
        return done.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        _give_up_output()
        return NOBODY_READS
    except Exception as error:
        if isinstance(error, OSError):
            _give_up_output()
        _show_traceback_if_wanted()
        return report(as_volt_error(error))
    return 0


def _give_up_output() -> None:
    """What is still buffered has nowhere to go; without this, the interpreter complains at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _repair_streams() -> None:
    """Closed ones swallow what is written; characters that one cannot show are escaped."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 - open while we live
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def report(error: VoltError) -> int:
    """Print `error` on standard error; returns its exit status."""
    for line in error.message.splitlines() or [""]:
        print(f"error: {printable(line)}", file=sys.stderr)
    if error.hint:
        print(f"hint: {printable(error.hint)}", file=sys.stderr)
    return error.exit_status


def as_volt_error(error: Exception) -> VoltError:
    """Any exception in the words of users; of a group, such as task groups raise, the first."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, VoltError):
        return error
    if isinstance(error, typer.TyperException):
        return _usage_error(error)
    if isinstance(error, OSError):
        return VoltError(
            f"{error.strerror or error}" + (f": {error.filename}" * bool(error.filename))
        )
    return VoltError(
        f"unexpected failure: {type(error).__name__}: {error}",
        "run it again with VOLT_DEBUG=1 for the details, and please report it",
    )


def _usage_error(error: typer.TyperException) -> Invalid:
    """typer's sentence without its frame, and where to read on or what was perhaps meant."""
    similar = getattr(error, "possibilities", None)
    message = str(error.message) if similar else error.format_message()
    ctx = getattr(error, "ctx", None)
    path = ctx.command_path if ctx is not None else "volt"
    hint = f"did you mean {sorted(similar)[0]}?" if similar else f"see `{path} --help`"
    message = message.replace("is not a valid int", "is not a whole number")
    return Invalid(message[:1].lower() + message[1:].rstrip("."), hint)


def _show_traceback_if_wanted() -> None:
    if os.environ.get("VOLT_DEBUG"):
        import traceback

        traceback.print_exc()
