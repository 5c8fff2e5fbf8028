"""What is kept on disk, and what becomes of it when something goes wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.ingress.acme.bench import HOST, store
from tests.ingress.acme.fake_ca import authority
from tests.ingress.authority import key_pem, pem_of
from volt_agent.errors import Refused
from volt_agent.ingress.acme.ledger import Account, Record, Setback
from volt_agent.ingress.acme.storage import SetAside, Storage

DIRECTORY = "https://ca.example/dir"


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """Records and accounts, each CA's apart."""
    storage = Storage(tmp_path)
    record = Record(Setback(2, 1.0, 2.0, "dns", "no name"), directory=DIRECTORY, renew_at=5.0)
    storage.save_record(HOST, record)
    storage.save_account(Account(DIRECTORY, "https://ca.example/me", "a@example.com"))
    storage.save_account_key(DIRECTORY, b"KEY")
    assert storage.record(HOST) == record
    assert storage.record("other.example.com") == Record()
    assert storage.account(DIRECTORY).uri == "https://ca.example/me"
    assert storage.account(f"{DIRECTORY}/") == Account(f"{DIRECTORY}/")
    assert storage.account_key(DIRECTORY) == b"KEY"
    assert storage.account_key(f"{DIRECTORY}/") is None


def test_a_torn_record_is_none(tmp_path: Path) -> None:
    """Whatever is in it; and a certificate does without."""
    storage = Storage(tmp_path)
    storage.save_record(HOST, Record(renew_at=5.0))
    path = tmp_path / "hosts" / HOST / "record.json"
    for content in (b"", b"{", b'{"renew_at":"x"}', b"\xff\xfe"):
        path.write_bytes(content)
        assert storage.record(HOST) == Record()


def test_what_does_not_belong_together_is_not_kept(tmp_path: Path) -> None:
    """Another key, another host, a torn chain: the former certificate stays as it was."""
    old = store(tmp_path, DIRECTORY)
    storage, (leaf, key) = Storage(tmp_path), authority().issue(HOST)
    chain, other_key = pem_of([leaf, authority().intermediate]), authority().issue(HOST)[1]
    foreign, foreign_key = authority().issue("other.example.com")
    for wrong, its_key in (
        (chain, other_key),
        (pem_of([foreign]), foreign_key),
        (chain[:400], key),
        (b"", key),
    ):
        with pytest.raises(Refused):
            storage.save(HOST, wrong, key_pem(its_key))
        assert storage.load(HOST) == old
        assert sorted(each.name for each in (tmp_path / "hosts" / HOST).iterdir()) == [
            "certificate.pem", "record.json",
        ]  # fmt: skip


@pytest.mark.parametrize(
    "kind", ["torn", "foreign", "empty", "a directory", "a pipe", "a dead link"]
)
def test_what_cannot_be_used_is_set_aside(tmp_path: Path, kind: str) -> None:
    """Reported, kept for whoever wants to look, and in nobody's way."""
    path = Path(store(tmp_path, DIRECTORY).files.certificate)
    foreign = store(tmp_path, DIRECTORY, "other.example.com").files.certificate
    content = {"torn": path.read_bytes()[:500], "foreign": Path(foreign).read_bytes(), "empty": b""}
    path.unlink()
    if kind in content:
        path.write_bytes(content[kind])
    elif kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a dead link":
        path.symlink_to("nowhere")
    else:
        path.mkdir()
    storage = Storage(tmp_path)
    found = storage.load(HOST)
    assert isinstance(found, SetAside)
    assert os.path.lexists(found.path)
    assert storage.load(HOST) is None
    assert store(tmp_path, DIRECTORY) == storage.load(HOST)


def test_modes_are_mended(tmp_path: Path) -> None:
    """Keys are for their owner, whatever somebody has made of it."""
    path = Path(store(tmp_path, DIRECTORY).files.certificate)
    path.chmod(0o644)
    path.parent.chmod(0o755)
    storage = Storage(tmp_path)
    storage.load(HOST)
    storage.save_record(HOST, Record())
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
