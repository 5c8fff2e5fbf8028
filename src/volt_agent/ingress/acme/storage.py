"""What is kept on disk, under `certs/` of the state directory. All functions block.

    accounts/DIRECTORY/key.pem        made once; whoever has it is the account
    accounts/DIRECTORY/account.json   `ledger.Account`
    hosts/HOST/certificate.pem        the chain, leaf first, and its private key
    hosts/HOST/record.json            `ledger.Record`
    aside/                            what could not be used

Chain and key are one file, so that one rename replaces both: there is no moment at which they do
not belong together. Files are for their owner only (0600), folders too (0700).
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import time
from pathlib import Path
from typing import TypeVar

import msgspec

from ...errors import Refused
from ..certificate import Certificate, Files, check_host
from .ledger import Account, Record

log = logging.getLogger(__name__)

T = TypeVar("T")

_ASIDE_MAX = 100  # files; the oldest go first


class Stored(msgspec.Struct, frozen=True):
    """The certificate of a host as it lies at `files`; `serial` in hexadecimal."""

    files: Files
    certificate: Certificate
    serial: str

    @property
    def not_before(self) -> float:
        return self.certificate.not_before.timestamp()

    @property
    def not_after(self) -> float:
        return self.certificate.not_after.timestamp()

    def __repr__(self) -> str:
        return f"<Stored {self.certificate!r}>"


class SetAside(msgspec.Struct, frozen=True):
    """A file that could not be used, for `reason`; `path` is where it is now."""

    path: str
    reason: str


class Storage:
    """See the module. Errors of the disk are OSError."""

    def __init__(self, root: Path) -> None:
        self._root = root

    # ---- certificates ---------------------------------------------------------------------------

    def files(self, host: str) -> Files:
        path = str(self._host(host) / "certificate.pem")
        return Files(path, path)

    def load(self, host: str) -> Stored | SetAside | None:
        """The certificate of `host`, checked; None if there is none. One that is torn, or of
        another host, is set aside: the next one shall not stumble over it."""
        files = self.files(host)
        if not os.path.lexists(files.certificate):
            return None
        if os.path.isfile(files.certificate):
            # A disk that fails, or too many open files, is no fault of the certificate.
            os.close(os.open(files.certificate, os.O_RDONLY | os.O_CLOEXEC))
        try:
            return _read(files, host)
        except Refused as error:
            return SetAside(self._set_aside(host, Path(files.certificate)), error.message)

    def save(self, host: str, chain: bytes, key: bytes) -> Stored:
        """Keep a certificate, if chain and key belong together and are for `host`: raises Refused.
        Whatever happens, the former one stays as it was, or is replaced as a whole."""
        folder = self._folder(self._host(host))
        fresh = folder / ".certificate.pem.new"
        try:
            _write(fresh, chain.rstrip() + b"\n" + key)
            _read(Files(str(fresh), str(fresh)), host)
            os.replace(fresh, folder / "certificate.pem")
        except BaseException:
            with contextlib.suppress(OSError):
                fresh.unlink()
            raise
        _sync(folder)
        return _read(self.files(host), host)

    def remove(self, host: str) -> None:
        """Forget the certificate of `host`, but not what was tried for it."""
        folder = self._host(host)
        (folder / "certificate.pem").unlink(missing_ok=True)
        _sync(folder)

    def _set_aside(self, host: str, path: Path) -> str:
        aside = self._folder(self._root / "aside")
        place = aside / f"{host[:200]}-{time.time_ns()}"
        try:
            os.replace(path, place)
            for old in sorted(aside.iterdir(), key=lambda each: each.lstat().st_ctime)[
                :-_ASIDE_MAX
            ]:
                old.unlink()
        except OSError as error:
            log.warning("%s cannot be set aside: %s", path, error.strerror)
            return str(path)
        return str(place)

    # ---- what was tried -------------------------------------------------------------------------

    def record(self, host: str) -> Record:
        """What was tried for `host`; one that is torn is none."""
        return _decoded(self._host(host) / "record.json", Record) or Record()

    def save_record(self, host: str, record: Record) -> None:
        folder = self._folder(self._host(host))
        _replace(folder / "record.json", msgspec.json.encode(record))

    # ---- accounts -------------------------------------------------------------------------------

    def account(self, directory: str) -> Account:
        found = _decoded(self._account(directory) / "account.json", Account)
        return found or Account(directory)

    def save_account(self, account: Account) -> None:
        folder = self._folder(self._account(account.directory))
        _replace(folder / "account.json", msgspec.json.encode(account))

    def account_key(self, directory: str) -> bytes | None:
        """The key of the account (PEM), None before there is one."""
        try:
            return (self._account(directory) / "key.pem").read_bytes()
        except FileNotFoundError:
            return None

    def save_account_key(self, directory: str, key: bytes) -> None:
        _replace(self._folder(self._account(directory)) / "key.pem", key)

    # ---- inside ---------------------------------------------------------------------------------

    def _host(self, host: str) -> Path:
        return self._root / "hosts" / host

    def _account(self, directory: str) -> Path:
        """Named so that people know which CA it is, and no two are mixed up."""
        digest = hashlib.sha256(directory.encode()).hexdigest()[:8]
        words = re.sub(r"[^a-z0-9.]+", "-", directory.lower().removeprefix("https://"))
        return self._root / "accounts" / f"{words.strip('-.')[:80]}-{digest}"

    def _folder(self, path: Path) -> Path:
        """Made with all above it, for the owner only."""
        for each in (self._root, path.parent, path):
            each.mkdir(mode=0o700, exist_ok=True)
            if each.stat().st_mode & 0o077:
                each.chmod(0o700)
        return path


def _read(files: Files, host: str) -> Stored:
    """Raises Refused."""
    from ..chain import read_chain
    from ..pem import load

    certificate = load(files)
    check_host(certificate, host, files.certificate)
    with contextlib.suppress(OSError):
        os.chmod(files.certificate, 0o600)
    return Stored(files, certificate, read_chain(certificate.pem).serial)


def _decoded(path: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        log.error("%s cannot be read and is begun anew: %s", path, error)
        return None


def _replace(path: Path, data: bytes) -> None:
    """The file is the old one or the new one, whenever the machine stops."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        _write(fresh, data)
        os.replace(fresh, path)
    except BaseException:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise
    _sync(path.parent)


def _write(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)  # of somebody who was interrupted
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(fd)


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
