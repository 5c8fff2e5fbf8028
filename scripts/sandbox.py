"""`make sandbox`: a shell on a private host with the agent running, to play in.

Everything in it is gone when the shell ends: the host, its containers, and what volt made.
"""

from __future__ import annotations

import subprocess
import sys

from tests.support.host import Host
from tests.support.machine import ROOM, ROOT

WELCOME = """\
A private host with volt running. Nothing here touches this machine's network; leave with exit.
  volt net create --name backend --subnet 10.30.0.0/24; volt net connect backend api-server
  ip netns add api-server; volt ps; volt net dns list        # a container without a runtime starts
  ip netns exec api-server ping -c1 192.0.2.2; volt events   # the outside host is 192.0.2.2
The agent's log is {room}/agent.log, its configuration {room}/config.yaml.
"""

# Whatever the user's own bash prompt is, this one says where they are.
SHELL_RC = """\
PS1='\\[\\e[1;35m\\](volt sandbox)\\[\\e[0m\\] \\w \\$ '
unset PROMPT_COMMAND HISTFILE
source <(volt completion bash 2>/dev/null)
cd
"""


def main() -> int:
    with Host(environment={"HOME": str(ROOM)}) as host:
        host.start_agent()
        host.path(ROOM / "bashrc").write_text(SHELL_RC)
        sys.stdout.write(WELCOME.format(room=ROOM))
        sys.stdout.flush()
        shell = host.enter("bash", "--rcfile", str(ROOM / "bashrc"), "-i")
        # The terminal's own session, unlike everything else in the host: job control and Ctrl-C.
        subprocess.run(shell, env=host.environment, cwd=ROOT)
    print("The sandbox is gone.")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except AssertionError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
