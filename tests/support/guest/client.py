"""Connects to a name and prints what is said there, if no packet came over a router.

IP_MINTTL as in `server`.
"""

from __future__ import annotations

import socket
import sys

IP_MINTTL = 21


def main() -> None:
    """Connect to the host and port given; exit status 1 if that cannot be done in two seconds."""
    address = socket.gethostbyname(sys.argv[1])
    with socket.socket() as connection:
        connection.setsockopt(socket.IPPROTO_IP, IP_MINTTL, 64)
        connection.settimeout(2)
        try:
            connection.connect((address, int(sys.argv[2])))
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            sys.stdout.write(connection.makefile().read().rpartition("\n\n")[2])
        except OSError as error:
            sys.exit(f"{address}: {error}")


if __name__ == "__main__":
    main()
