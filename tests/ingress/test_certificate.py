"""Certificates and keys: which pairs of files may be used, and what is said about them."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from tests.ingress.authority import NOW, Authority, key_pem, pem_of, rsa_key, write
from volt_agent.errors import Refused
from volt_agent.ingress.certificate import Files, check_host, warnings
from volt_agent.ingress.pem import load

AUTHORITY = Authority()
_DAY = timedelta(days=1)


def refusal(files: Files) -> str:
    with pytest.raises(Refused) as caught:
        load(files)
    return caught.value.message


def test_a_good_pair_is_read(tmp_path: Path) -> None:
    """Names, end and issuer; nothing to complain about."""
    files = AUTHORITY.files(tmp_path, "App.example.com", "*.example.org", "192.0.2.1")
    found = load(files)
    assert found.names == ("app.example.com", "*.example.org", "192.0.2.1")
    assert found.issuer == "CN=Test Intermediate"
    assert found.pem.count(b"BEGIN CERTIFICATE") == 2
    assert warnings(found, files, NOW) == []
    assert "PRIVATE" not in repr(found)


def test_key_and_certificate_may_share_a_file(tmp_path: Path) -> None:
    """As some tools write them; EC parameters before the key do no harm."""
    leaf, key = AUTHORITY.issue("a.example")
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    file = tmp_path / "both.pem"
    file.write_bytes(pem_of([leaf]) + parameters + key_pem(key))
    assert load(Files(str(file), str(file))).names == ("a.example",)


@pytest.mark.parametrize(
    ("hostname", "is_covered"),
    [
        ("app.example.com", True),
        ("a.example.org", True),
        ("*.example.org", True),
        ("*", True),
        ("example.org", False),
        ("a.b.example.org", False),
        ("other.example.com", False),
        ("*.example.com", False),
    ],
)
def test_hosts_that_a_certificate_is_for(tmp_path: Path, hostname: str, is_covered: bool) -> None:
    """A wildcard stands for one label; the refusal says what it is for."""
    found = load(AUTHORITY.files(tmp_path, "app.example.com", "*.example.org"))
    assert found.covers(hostname) is is_covered
    if not is_covered:
        with pytest.raises(Refused, match="is not for") as caught:
            check_host(found, hostname, "cert.pem")
        assert caught.value.hint == "it is for app.example.com, *.example.org"


def test_a_common_name_counts_where_there_is_nothing_else(tmp_path: Path) -> None:
    """With a warning."""
    files = AUTHORITY.files(tmp_path, common_name="old.example")
    found = load(files)
    assert found.covers("old.example")
    assert warnings(found, files, NOW) == [
        f"{files.certificate} has no subjectAltName: most clients will refuse it"
    ]


def test_time_and_permissions_are_warned_of(tmp_path: Path) -> None:
    """They do not hinder the use."""
    ends = NOW + 30 * _DAY
    files = AUTHORITY.files(tmp_path, "a.example", ends=ends)
    found = load(files)
    assert warnings(found, files, ends + _DAY)[0].startswith(f"{files.certificate} expired on ")
    assert "expires on" in warnings(found, files, ends - _DAY)[0]
    assert "is not valid before" in warnings(found, files, NOW - 9 * _DAY)[0]
    for mode, whose in ((0o644, "others"), (0o660, "its group")):
        os.chmod(files.private_key, mode)
        (said,) = warnings(found, files, NOW)
        assert said == (
            f"{files.private_key} is open to {whose} (mode {mode:04o}): "
            f"chmod 600 {files.private_key}"
        )
    os.chmod(files.private_key, 0o640)
    assert warnings(found, files, NOW) == []


def test_what_cannot_work_is_refused(tmp_path: Path) -> None:
    """Each with its reason, and the file that is to blame."""
    leaf, key = AUTHORITY.issue("a.example")
    _other, other_key = AUTHORITY.issue("b.example")
    chain = [leaf, AUTHORITY.intermediate]
    good = write(tmp_path, chain, key, "good")
    assert load(write(tmp_path, [*chain, AUTHORITY.root], key, "rooted")).names == ("a.example",)
    assert "does not belong to" in refusal(write(tmp_path, chain, other_key, "other"))
    assert "in the wrong order" in refusal(write(tmp_path, chain[::-1], key, "order"))
    assert "certificate 2 did not issue certificate 1" in refusal(
        write(tmp_path, [leaf, AUTHORITY.root], key, "gap")
    )
    short, short_key = AUTHORITY.issue("a.example", key=rsa_key(1024))
    assert "is too short: 1024 bits" in refusal(write(tmp_path, [short], short_key, "short"))
    assert "has no certificate" in refusal(Files(good.private_key, good.private_key))
    assert "has no private key" in refusal(Files(good.certificate, good.certificate))
    assert "cannot be read: No such file" in refusal(Files(str(tmp_path / "no"), good.private_key))
    assert "is not a regular file" in refusal(Files(str(tmp_path), good.private_key))
    assert "is not a regular file" in refusal(Files("/dev/zero", good.private_key))


def test_files_that_are_no_pem_are_refused(tmp_path: Path) -> None:
    """Pipes do not block, and a file that ends too early is never half used."""
    files = AUTHORITY.files(tmp_path, "a.example")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    assert "is not a regular file" in refusal(Files(str(fifo), files.private_key))
    large = tmp_path / "large"
    large.touch()
    os.truncate(large, 1 << 30)
    assert "larger than any certificate" in refusal(Files(str(large), files.private_key))
    locked = tmp_path / "locked.key"
    _leaf, key = AUTHORITY.issue("a.example")
    locked.write_bytes(key_pem(key, b"secret"))
    assert "has a pass phrase" in refusal(Files(files.certificate, str(locked)))
    leaf, key = AUTHORITY.issue("a.example")
    files = write(tmp_path, [leaf], key)
    for path in (Path(files.certificate), Path(files.private_key)):
        whole = path.read_bytes()
        for size in range(0, len(whole) - 2, 7):
            path.write_bytes(whole[:size])
            refusal(files)
        path.write_bytes(whole)
    assert load(files)
