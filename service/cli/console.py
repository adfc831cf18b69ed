"""What every command shares: where output goes, progress bars, and how an error ends the process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from service.flows.bench import Stage
    from service.settings import Settings


class ExitCode(IntEnum):
    """How a command ends."""

    OK = 0
    DRIFT = 1
    USAGE = 2
    NOT_SCORED = 3
    UNEXPECTED = 4


Repo = Annotated[Path, typer.Option("--repo", help="Git repository, or a folder in it.", show_default=False)]
Home = Annotated[
    Path | None,
    typer.Option("--home", help="Where profiles are kept; default: ROUTEPRINT_HOME or the data directory."),
]
HERE = Path()


def settings_for(home: Path | None) -> Settings:
    """The settings of this command.

    A home that is not there yet is made for its owner alone: it will hold code, and models that remember it.
    """
    from pydantic import ValidationError

    from service import ServiceError
    from service.settings import read_settings

    try:
        settings = read_settings(home=home)
    except ValidationError as error:
        wrong = "; ".join(
            f"ROUTEPRINT_{'.'.join(map(str, e['loc']))}".upper() + f": {e['msg']}" for e in error.errors()
        )
        raise ServiceError(f"a setting is not usable: {wrong}") from error
    with suppress(OSError):  # whoever writes there says what is wrong
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    return settings


def find_repository(path: Path) -> Path:
    """The repository that a folder belongs to, so that every folder of it means the same profile.

    Raises:
        ServiceError: no such folder.
    """
    from service import ServiceError

    start = path.expanduser().resolve()
    if not start.exists():
        raise ServiceError(f"{path} does not exist; give --repo the path of a git repository")
    for folder in (start, *start.parents):
        if (folder / ".git").exists():
            return folder
    return start


def output() -> Console:
    """Standard output, for answers."""
    from rich.console import Console

    return Console(highlight=False)


def notes() -> Console:
    """Standard error, for progress and remarks, so that answers can be piped."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def show(answer: RenderableType | str) -> None:
    """Print an answer: renderables through rich, strings exactly as they are."""
    if isinstance(answer, str):
        sys.stdout.write(answer)
        sys.stdout.flush()
    else:
        output().print(answer)


def note(text: str) -> None:
    """One plain remark for people."""
    from rich.text import Text

    notes().print(Text(text, style="dim"))


@contextmanager
def stages() -> Iterator[Callable[[Stage], None]]:
    """Progress bars of a flow's stages, one line each; on a pipe, one line when a stage ends."""
    from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

    console = notes()
    columns = (
        SpinnerColumn(finished_text="·"), TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24), TextColumn("{task.fields[speed]}", style="dim"), TimeElapsedColumn(),
    )  # fmt: skip
    tasks: dict[str, TaskID] = {}
    told: set[str] = set()
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:

        def report(stage: Stage) -> None:
            if not console.is_terminal:
                if stage.total is not None and stage.done >= stage.total and stage.name not in told:
                    told.add(stage.name)
                    note(f"{stage.name}: {'found' if stage.is_stored else 'done'}")
                return
            if stage.name not in tasks:
                for task in tasks.values():
                    progress.update(task, total=1, completed=1)
                tasks[stage.name] = progress.add_task(stage.name, total=None, speed="")
            progress.update(tasks[stage.name], total=stage.total, completed=stage.done, speed=_speed(stage))

        yield report


def _speed(stage: Stage) -> str:
    from service.reports.wording import duration

    if stage.is_stored:
        return "found"
    if stage.tokens_per_second is None:
        return ""
    left = "" if not stage.seconds_left else f", {duration(stage.seconds_left)} left"
    return f"{stage.tokens_per_second:,.0f} tokens/s{left}"


@contextmanager
def commits(what: str = "reading history") -> Iterator[Callable[[int, int], None]]:
    """A progress bar of commits."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = notes()
    columns = (
        TextColumn(what),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("history", total=None)

        def report(n_done: int, n_in_all: int) -> None:
            progress.update(task, completed=n_done, total=n_in_all)

        yield report
