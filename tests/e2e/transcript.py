"""Transcripts: what a user types on a host and what that prints; `handbook.txt` has the grammar."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from tests.support.certificates import write_certificate
from tests.support.host import Host
from tests.support.web import Web


class Step(NamedTuple):
    """A command as a shell takes it, the lines that it prints, and its exit status."""

    command: str
    printed: list[str]
    status: int


class Section(NamedTuple):
    """`given` are the lines that say what there is before the first step."""

    title: str
    given: list[str]
    steps: list[Step]


def read(path: Path) -> list[Section]:
    """The sections of a file. Raises ValueError for a line that belongs nowhere."""
    sections: list[Section] = []
    for line in path.read_text().splitlines():
        if line.startswith("== "):
            sections.append(Section(line[3:], [], []))
        elif line.startswith("given "):
            sections[-1].given.append(line[6:])
        elif line.startswith("$ "):
            sections[-1].steps.append(Step(line[2:], [], 0))
        elif line.startswith("> "):
            last = sections[-1].steps[-1]
            sections[-1].steps[-1] = last._replace(command=f"{last.command}\n{line[2:]}")
        elif line.startswith("[") and line.endswith("]") and line[1:-1].isdigit():
            sections[-1].steps[-1] = sections[-1].steps[-1]._replace(status=int(line[1:-1]))
        elif line and not line.startswith("#"):
            if not sections or not sections[-1].steps:
                raise ValueError(f"{path.name}: {line!r} is the output of nothing")
            sections[-1].steps[-1].printed.append(line)
    return sections


def prepare(host: Host, given: list[str]) -> list[Web]:
    """Make what a section begins with; the servers that were started are the caller's to stop."""
    servers = []
    for line in given:
        kind, _, rest = line.partition(" ")
        if kind == "server":
            servers.append(Web(host, "serve", *rest.split()))
        elif kind == "certificate":
            folder = host.path("/etc/certs")
            folder.mkdir(exist_ok=True)
            write_certificate(folder, rest, [f"{rest}.example.com"])
        else:
            _connect(host, *line.split(":"))
    return servers


def _connect(host: Host, place: str, workloads: str) -> None:
    network, *subnet = place.split()
    if subnet:
        host.call("net.create", name=network, subnet=subnet[0])
    for each in workloads.split():
        name, _, address = each.partition("@")
        host.call("net.connect", network=network, workload=name, ip=address or None)
        host.connect(network, name)


def matches(expected: list[str], printed: list[str]) -> bool:
    """Whether the lines are as expected, word by word; see `handbook.txt` for the wildcards."""
    if not expected:
        return not printed
    if expected[0] == "...":
        return any(matches(expected[1:], printed[skip:]) for skip in range(len(printed) + 1))
    return (
        bool(printed)
        and _same(expected[0].split(), printed[0].split())
        and matches(expected[1:], printed[1:])
    )


def _same(expected: list[str], words: list[str]) -> bool:
    if expected[-1] == "...":
        expected, words = expected[:-1], words[: len(expected) - 1]
    return len(expected) == len(words) and all(
        wanted in ("*", word) for wanted, word in zip(expected, words, strict=True)
    )
