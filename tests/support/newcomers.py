"""Clients of a web server each of which comes once: a new connection for every request.

`python -m tests.support.newcomers ADDRESS PORT HOST` lets one after the other come, until its stdin
ends, and then prints how many were served, and what became of the others.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections import Counter

PATIENCE = 30.0  # seconds: whoever waits that long has been refused
PAUSE = 0.01


def come(address: str, port: int, host: str) -> str:
    """What became of one client: "200", another status, or the error's name."""
    request = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    try:
        with socket.create_connection((address, port), PATIENCE) as connection:
            connection.sendall(request)
            answer = b""
            while more := connection.recv(65536):
                answer += more
    except OSError as error:
        return type(error).__name__
    return answer.split(b" ", 2)[1].decode() if answer else "closed"


def main() -> None:
    """Say "flowing" at the first success, and the counts at the end."""
    address, port, host = sys.argv[1:]
    over, seen = threading.Event(), Counter[str]()

    def await_the_end() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=await_the_end, daemon=True).start()
    while not over.is_set():
        result = come(address, int(port), host)
        seen[result] += 1
        if result == "200" and seen["200"] == 1:
            print("flowing", flush=True)
        time.sleep(PAUSE)
    print(json.dumps(seen), flush=True)


if __name__ == "__main__":
    main()
