"""A program: lives of an agent that end by SIGKILL: `python -m tests.ingress.acme.life`.

Each line of its input, `DIRECTORY FOLDER AHEAD LAST`, is a life: an agent with certificates below
FOLDER, whose clock is AHEAD seconds ahead, kills itself instead of its action number LAST (a
request to the CA, or a file that takes its place); it ends by itself once it has a certificate or a
reason why not. Each line of its output is how that was: `killed`, or the state in words. It ends
with its input.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

# Before the first life, so that it does not take longer than the others.
from volt_agent.config import AcmeSection
from volt_agent.ingress import chain, pem  # noqa: F401
from volt_agent.ingress.acme import conversation
from volt_agent.ingress.acme.state import words

from .bench import HOST, running

REPLY = "end: "


def main() -> None:
    for line in sys.stdin:
        directory, folder, ahead, last = line.split()
        child = os.fork()
        if not child:
            _die_instead_of(int(last))
            asyncio.run(_live(directory, Path(folder), float(ahead)))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            print(f"{REPLY}killed", flush=True)


async def _live(directory: str, folder: Path, ahead: float) -> None:
    settings = AcmeSection(directory=directory)
    async with running(settings, folder, HOST, ahead=ahead) as bench:
        await bench.until(lambda: bench.state().state != "issuing" and not bench.is_under_way())
        print(f"{REPLY}{words(bench.state(), bench.now())}", flush=True)


def _die_instead_of(last: int) -> None:
    """Count what is seen outside of this process."""
    left = [last]

    def watched(action: Any) -> Any:
        def act(*arguments: Any, **options: Any) -> Any:
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            return action(*arguments, **options)

        return act

    os.replace = watched(os.replace)
    conversation._Network._send_request = watched(conversation._Network._send_request)  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
