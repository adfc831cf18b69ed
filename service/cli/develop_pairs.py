"""``routeprint develop mutants``: pairs of correct and incorrect programs, proven by tests."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.console import Home, settings_for, show, stages
from service.cli.dictionary import FormatOption, MachineFormat

if TYPE_CHECKING:
    from rich.console import RenderableType

    from fingerprint.development.pairs.store import Pair
    from service.flows.development.pairs import StoredPairs


def mutants(
    home: Home = None,
    per_task: Annotated[int, typer.Option(min=1, help="Mutants kept of one task, at most.")] = 2,
    trials: Annotated[int, typer.Option(min=1, help="Mutants of one task that are run, at most.")] = 8,
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 0,
    humaneval: Annotated[
        Path | None, typer.Option("--humaneval", help="A local HumanEval.jsonl, beside the shipped tasks.")
    ] = None,
    mbpp: Annotated[
        Path | None, typer.Option("--mbpp", help="A local mbpp.jsonl, beside the shipped tasks.")
    ] = None,
    list_all: Annotated[
        bool, typer.Option("--list", help="List every pair: task, operator, what was changed.")
    ] = False,
    form: FormatOption = MachineFormat.TEXT,
) -> None:
    """Make mutants of correct functions, run each against its tests, and keep those that fail.

    Programs run in processes of their own, with limits and without network. The shipped functions are
    harmless; look at other people's files before you run them. A killed run goes on where it stopped.
    """
    from fingerprint.development.pairs.make import PairConfig
    from service.flows.development.pairs import read_tasks, store_pairs

    config = PairConfig(per_task=per_task, trials=trials, seed=seed)
    with stages() as report:
        found = store_pairs(settings_for(home).home, read_tasks(humaneval, mbpp), config, report)
    if form is MachineFormat.JSON:
        facts = {"digest": found.digest, "place": str(found.place), "n_tasks": found.n_tasks}
        show(json.dumps(facts | asdict(found.pairs), indent=2, ensure_ascii=False) + "\n")
        return
    show(render_operators(found))
    if list_all:
        show(render_pairs(found.pairs.pairs))


def render_operators(found: StoredPairs) -> RenderableType:
    """What became of every operator's mutants."""
    from service.reports.sheet import Sheet

    pairs = found.pairs
    counts = [
        (t.operator, (t.tried, t.killed, t.survived, t.no_import, t.kept, t.subtle)) for t in pairs.tallies
    ]
    total = tuple(map(sum, zip(*(numbers for _, numbers in counts), strict=True)))
    rows = tuple((name, *numbers) for name, numbers in (*counts, ("all", total)))
    refused = f"; {len(pairs.refused)} fail their own tests" if pairs.refused else ""
    title = f"{len(pairs.pairs)} pairs of {found.n_tasks} tasks{refused} ({found.digest[:12]})"
    columns = ("operator", "run", "killed", "survived", "no program", "kept", "of these subtle")
    return Sheet(title, columns, rows).to_table()


def render_pairs(pairs: tuple[Pair, ...]) -> RenderableType:
    """Every pair, in the order of choice."""
    from service.reports.sheet import Sheet

    rows = tuple(
        (p.task, p.operator, _short(p.correct[slice(*p.span)]), _short(p.incorrect[slice(*p.changed_span)]),
         p.tokens_changed, f"{p.n_failed} of {p.n_tests}", p.verdict)
        for p in pairs
    )  # fmt: skip
    columns = ("task", "operator", "correct", "incorrect", "tokens", "tests failed", "verdict")
    return Sheet("pairs", columns, rows, n_names=4).to_table()


def _short(code: str) -> str:
    flat = " ".join(code.split())
    return flat if len(flat) <= 32 else f"{flat[:31]}…"
