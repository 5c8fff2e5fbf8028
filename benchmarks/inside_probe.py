"""Ask for one name again and again: `inside_probe SERVER SOURCE NAME`, until standard input ends.

Prints every answer as JSON: when it was asked for and when it came (monotonic), and the address.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time

from benchmarks.inside_blast import query

Answer = tuple[float, float, str]


def probe(sock: socket.socket, name: str) -> list[Answer]:
    """One question at a time; one that is not answered is asked again."""
    answers: list[Answer] = []
    while not select.select([sys.stdin], [], [], 0)[0]:
        asked = time.monotonic()
        sock.send(query(name))
        try:
            reply = sock.recv(512)
        except TimeoutError:
            continue
        answers.append((asked, time.monotonic(), socket.inet_ntoa(reply[-4:])))
    return answers


def main() -> None:
    server, source, name = sys.argv[1:]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((source, 0))
        sock.connect((server, 53))
        sock.settimeout(1)
        print("ready", flush=True)
        json.dump(probe(sock, name), sys.stdout)


if __name__ == "__main__":
    main()
