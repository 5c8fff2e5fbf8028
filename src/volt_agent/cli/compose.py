"""`volt compose`: the networks, connections and ports of a Compose file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..control.client import decoded
from ..control.messages.compose import DOWN, UP, Action, Down, Report, Step, Up
from ..control.method import Method
from ..errors import Failed
from .command import Group, command
from .output import as_yaml
from .session import Session

if TYPE_CHECKING:
    from ..compose.file import Found

# A project of a thousand objects takes a minute.
TIMEOUT = 600.0
SIGNS: dict[Action, str] = {
    "create": "+ create",
    "connect": "+ connect",
    "forward": "+ forward",
    "delete": "- delete",
    "disconnect": "- disconnect",
    "unforward": "- no longer forward",
    "forget": "- forget",
}

File = Annotated[
    str | None,
    typer.Option("-f", "--file", metavar="FILE", help="Default: compose.yaml, here or above."),
]
ProjectName = Annotated[
    str | None,
    typer.Option(
        "-p", "--project-name", metavar="NAME", help="Default: the name of the file's directory."
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")]


@command(
    "up",
    examples=("volt compose up --dry-run", "volt compose up", "volt compose up -f shop.yaml"),
)
def up(
    ctx: typer.Context, file: File = None, project_name: ProjectName = None, dry_run: DryRun = False
) -> None:
    """Make the networks, connections and port forwards of a Compose file.

    What the project made before and the file no longer has is taken away. Workloads need not run.
    """
    session = Session.of(ctx)
    wanted = _load(session, file, project_name).wanted
    _run(
        session,
        UP,
        [
            Up(
                name=wanted.name,
                networks=wanted.networks,
                connections=wanted.connections,
                forwards=wanted.forwards,
                dry_run=only_plan,
            )
            for only_plan in (True, False)
        ],
        dry_run,
    )


@command("down", examples=("volt compose down", "volt compose down -p shop"))
def down(
    ctx: typer.Context, file: File = None, project_name: ProjectName = None, dry_run: DryRun = False
) -> None:
    """Take away what the project made, and nothing else. With -p, no file is needed."""
    from ..compose.file import check_project

    session = Session.of(ctx)
    if project_name is not None and file is None:
        name = check_project(project_name)
    else:
        name = _load(session, file, project_name, warn=False).wanted.name
    _run(session, DOWN, [Down(name=name, dry_run=True), Down(name=name)], dry_run)


@command("config", examples=("volt compose config", "volt compose config -o json"))
def config(ctx: typer.Context, file: File = None, project_name: ProjectName = None) -> None:
    """Check a Compose file and print what volt makes of it; ask no agent."""
    from ..compose.show import as_file

    session = Session.of(ctx)
    shown = as_file(_load(session, file, project_name).wanted)
    session.show(shown, lambda: as_yaml(shown))


def _load(session: Session, file: str | None, project: str | None, warn: bool = True) -> Found:
    """The file, resolved; what volt ignores of it is said on standard error."""
    from ..compose.file import load

    found = load(Path.cwd(), file, project, session.environ)
    if warn and not session.quiet:
        for each in found.ignored:
            print(f"warning: {each}", file=session.err)
    return found


def _run(session: Session, method: Method[Any, Report], asked: list[Any], dry_run: bool) -> None:
    """Show the plan, then carry it out. `asked` are the parameters of both."""
    plan, go = asked
    found = _ask(session, method, plan)
    is_for_people = session.format == "table" and not session.quiet
    if is_for_people:
        _say(session, found)
    if not dry_run and found.steps:
        found = _ask(session, method, go)
        if is_for_people:
            _say_done(session, found)
    if session.format != "table":
        session.show(found, str)
    if found.failure is not None:
        raise Failed(found.failure, found.hint)


def _ask(session: Session, method: Method[Any, Report], params: Any) -> Report:
    return decoded(session.client(TIMEOUT).ask(method, params), method.result)


def _say(session: Session, plan: Report) -> None:
    count = len(plan.steps)
    head = f"{count} change{'s' * (count > 1)}" if count else "nothing to change"
    lines = [f"project {plan.project}: {head}", *map(_shown, plan.steps)]
    lines += [f"note: {each}" for each in plan.notes]
    session.done(plan, "\n".join(lines))


def _say_done(session: Session, report: Report) -> None:
    done = sum(each.state == "done" for each in report.steps)
    if report.failure is None:
        session.done(report, "done")
    else:
        failed = next(each for each in report.steps if each.state == "failed")
        text = f"{done} of {len(report.steps)} done; stopped at: {_shown(failed).strip()}"
        session.done(report, text)


def _shown(step: Step) -> str:
    detail = f" ({step.detail})" if step.detail else ""
    return f"  {SIGNS[step.action]} {step.what}{detail}"


COMMAND = Group(
    "compose",
    "The networks, connections and ports of a Compose file.",
    commands=(up, down, config),
)
