"""Finding and reading a Compose file. Blocks for as long as reading a small local file takes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from ..config.document import Document, Malformed
from ..control.messages.compose import Wanted
from ..errors import Invalid, NotFound
from .project import is_project_name, project_from, resolve
from .reader import Reader
from .variables import env_file

# In the order of the Compose specification; the last two are what it calls legacy.
NAMES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
# The largest public Compose files have some 100 KB.
FILE_MAX = 1024 * 1024


class Found(Struct, frozen=True):
    """A resolved file; `ignored` are sentences on its keys that volt has no use for."""

    wanted: Wanted
    ignored: tuple[str, ...]


def load(directory: Path, file: str | None, project: str | None, env: Mapping[str, str]) -> Found:
    """The file named `file`, or the one in `directory` or above it.

    `project` wins over COMPOSE_PROJECT_NAME, the file's `name` and the name of its directory.
    Raises NotFound, and Invalid with all mistakes, a line each.
    """
    path = directory / file if file is not None else find(directory)
    reader = Reader(_environ(path.parent, env))
    document = _document(path)
    for where, line in document.repeated:
        reader.mistake(where, f"expected once, got it again on line {line}")
    name = _project(reader, path, document.value, project or env.get("COMPOSE_PROJECT_NAME"))
    wanted = resolve(reader, document.value, name)
    if reader.mistakes:
        raise Invalid("\n".join(f"{path.name}: {each}" for each in reader.mistakes))
    return Found(wanted, tuple(f"{path.name}: {each}" for each in reader.ignored))


def find(directory: Path) -> Path:
    """The Compose file of `directory`, or of the nearest directory above that has one."""
    for place in (directory, *directory.parents):
        for name in NAMES:
            if (place / name).is_file():
                return place / name
    raise NotFound(f"there is no {NAMES[0]} in {directory} or above", "name one with -f FILE")


def check_project(name: str) -> str:
    """`name` if it may name a project, else raises Invalid."""
    if not is_project_name(name):
        raise Invalid(
            f"project name {name[:70]!r} is not allowed",
            "use lower case letters, digits, hyphens and underscores; letter or digit first",
        )
    return name


def _project(reader: Reader, path: Path, value: object, chosen: str | None) -> str:
    named = reader.text("name", value.get("name")) if isinstance(value, dict) else None
    if chosen or named:
        return check_project(str(chosen or named))
    name = project_from(path.absolute().parent.name)
    if not name:
        raise Invalid(f"the directory of {path.name} gives no project name", "use -p NAME")
    return name


def _environ(directory: Path, env: Mapping[str, str]) -> Mapping[str, str]:
    """What is set wins over the file `.env` beside the Compose file."""
    path = directory / ".env"
    return {**env_file(_read(path)), **env} if path.is_file() else env


def _document(path: Path) -> Document:
    try:
        return Document(_read(path), aliases=True)
    except Malformed as error:
        where = f"line {error.line}: " if error.line else ""
        raise Invalid(f"{path.name}: {where}{error.problem}") from None


def _read(path: Path) -> str:
    if path.exists() and not path.is_file():
        raise Invalid(f"{path} is not a regular file")
    try:
        with open(path, "rb") as file:
            data = file.read(FILE_MAX + 1)
    except FileNotFoundError:
        raise NotFound(f"there is no file {path}") from None
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > FILE_MAX:
        raise Invalid(f"{path.name} is longer than {FILE_MAX} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Invalid(f"{path.name} is not UTF-8") from None
