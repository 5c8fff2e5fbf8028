"""Answers each TCP connection with its peer's address, if its packets came over no router.

IP_MINTTL drops what has been routed, because each hop takes one from the TTL (RFC 5082): a client
whose packets begin with 64 is heard only if they still have it.
"""

from __future__ import annotations

import socket
import sys

IP_MINTTL = 21  # linux/in.h; not in Python's socket module


def main() -> None:
    """Serve on the port given."""
    with socket.create_server(("", int(sys.argv[1]))) as server:
        server.setsockopt(socket.IPPROTO_IP, IP_MINTTL, 64)
        while True:
            connection, (peer, _) = server.accept()
            with connection:
                connection.sendall(f"{peer}\n".encode())


if __name__ == "__main__":
    main()
