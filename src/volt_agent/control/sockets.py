"""The listening sockets: the control socket in the file system, the status port on TCP."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import stat

from ..errors import Failed, Invalid, Refused

log = logging.getLogger(__name__)

# sun_path has 108 bytes with the terminating zero (linux/un.h).
PATH_MAX = 107
# A burst of clients waits to be accepted; a non-blocking connect() fails when the backlog is full.
# The kernel cuts this down to net.core.somaxconn.
BACKLOG = 4096


class Listener:
    """A listening socket. `serves_rpc` is False for the status port, where only four paths exist.

    `path` is the file that `close` removes, unless another agent has put its own there since; None
    for TCP and for a socket inherited from the service manager.
    """

    def __init__(self, sock: socket.socket, *, serves_rpc: bool, path: str | None = None) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.serves_rpc = serves_rpc
        self.path = path
        self._inode = os.stat(path).st_ino if path else None

    def leave(self) -> None:
        """Another process listens there from now on: `close` leaves the file alone."""
        self.path = None

    def close(self) -> None:
        self.sock.close()
        if self.path is not None:
            with contextlib.suppress(FileNotFoundError):
                if os.stat(self.path).st_ino == self._inode:
                    os.unlink(self.path)

    def __repr__(self) -> str:
        return f"<Listener [{self.path or 'inherited or TCP'}, rpc={self.serves_rpc}]>"


def bind_control_socket(path: str, group: int | None) -> Listener:
    """Listen on `path`, mode 0660, owned by `group` where given. Replaces a dead agent's socket.

    It is bound under a temporary name and renamed when it listens, so that nobody ever finds a
    socket that refuses, or one with the wrong mode. Raises Refused if a live agent answers on
    `path`, Invalid if `path` cannot be a socket, Failed if the file system refuses.
    """
    temporary = os.path.join(os.path.dirname(path), f".{os.getpid()}.sock")
    if max(len(os.fsencode(path)), len(os.fsencode(temporary))) > PATH_MAX:
        raise Invalid(f"the socket path {path} is too long", f"use at most {PATH_MAX - 10} bytes")
    try:
        os.makedirs(os.path.dirname(path) or ".", mode=0o755, exist_ok=True)
        _check_replaceable(path)
        sock = _bind_and_rename(path, temporary, group)
    except OSError as error:
        raise Failed(f"cannot listen on {path}: {error.strerror}") from error
    return Listener(sock, serves_rpc=True, path=path)


def inherited_control_socket(sock: socket.socket, path: str | None = None) -> Listener:
    """A control socket that the service manager listens on for us (sd_listen_fds(3)), or one that
    another agent has bound to `path`.

    Only a Unix socket tells who calls: anything else is Invalid.
    """
    if sock.family != socket.AF_UNIX or sock.type != socket.SOCK_STREAM:
        raise Invalid("the inherited control socket is no Unix stream socket")
    there = path if path is not None and os.path.exists(path) else None
    return Listener(sock, serves_rpc=True, path=there)


def inherited_status_socket(sock: socket.socket, listen: str) -> Listener | None:
    """The status socket of another agent, if it listens on `listen`; otherwise it is closed."""
    host, port = _host_and_port(listen)
    if sock.getsockname()[:2] == (host, port):
        return Listener(sock, serves_rpc=False)
    sock.close()
    return None


def bind_status_socket(listen: str) -> Listener:
    """Listen on `listen`, HOST:PORT with an IPv6 host in brackets. Refused if the port is taken."""
    host, port = _host_and_port(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        sock = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Refused(f"status.listen: {listen} is in use by another process") from error
        raise Failed(f"status.listen: cannot listen on {listen}: {error.strerror}") from error
    return Listener(sock, serves_rpc=False)


def _host_and_port(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not host or not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise Invalid(f"status.listen: expected HOST:PORT, got {listen}")
    return host, int(port)


def _check_replaceable(path: str) -> None:
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise Invalid(f"{path} exists and is not a socket", "name another path with --socket")
    if _somebody_answers(path):
        raise Refused(
            f"another agent is running: it answers on {path}",
            "stop it first, or name another path with --socket",
        )


def _somebody_answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except BlockingIOError:  # the backlog is full: alive, and very busy
            return True
    return True


def _bind_and_rename(path: str, temporary: str, group: int | None) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)  # left by a process of the same id that was killed
        sock.bind(temporary)
        # Before listen() nobody can connect, so the mode is right before the first caller.
        os.chmod(temporary, 0o660)
        _give_to_group(temporary, group)
        sock.listen(BACKLOG)
        os.rename(temporary, path)
    except OSError:
        sock.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    return sock


def _give_to_group(path: str, group: int | None) -> None:
    """Without privileges, or in a user namespace without that group, only the owner connects."""
    if group is None:
        return
    try:
        os.chown(path, -1, group)
    except OSError as error:
        log.warning("group %d cannot use the control socket: %s", group, error.strerror)
