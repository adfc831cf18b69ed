"""``routeprint pairs``, ``halves`` and ``seeds``: does it matter whose code an adapter was trained on?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.console import HERE, Home, Repo, find_repository, settings_for, show, stages
from service.cli.dictionary import FormatOption, MachineFormat

if TYPE_CHECKING:
    from rich.console import RenderableType

    from service.flows.pairs import PairsReport


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(pairs)
    app.command()(halves)
    app.command()(seeds)


def pairs(
    repo: Repo = HERE,
    home: Home = None,
    likeness: Annotated[
        float, typer.Option(min=0.1, max=1.0, help="Share of masked shingles in common to be near-identical.")
    ] = 0.5,
    most: Annotated[int, typer.Option(min=2, help="Pairs read, most alike first.")] = 200,
    seed: Annotated[int, typer.Option(help="Of the permutations.")] = 0,
    examples: Annotated[int, typer.Option(min=0, max=5, help="Pairs shown.")] = 0,
    form: FormatOption = MachineFormat.TEXT,
) -> None:
    """Test whether near-identical code of two authors trains different adapters.

    Hunks are matched after masking names, literals and comments. Pairs of one author, earlier and later, and
    adapters of shuffled authors are the controls.
    """
    from service.flows.opened import open_profile
    from service.flows.pairs import compare_pairs

    with stages() as report:
        opened = open_profile(find_repository(repo), settings_for(home), report)
        found = compare_pairs(opened, least_likeness=likeness, most=most, seed=seed)
    if form is MachineFormat.JSON:
        show(json.dumps(asdict(found), indent=2, ensure_ascii=False) + "\n")
        return
    for part in _render(found, examples):
        show(part)


def halves(
    repo: Repo = HERE,
    home: Home = None,
    tokens: Annotated[
        int, typer.Option(min=1, help="Scored tokens of the team's unread code, about.")
    ] = 3_000,
    form: FormatOption = MachineFormat.TEXT,
) -> None:
    """Test whether each read of an author comes back from other code of theirs.

    Every author's training commits are dealt into two halves, which train an adapter each; half A must find
    half B among all authors' halves. p deals the halves to other authors.
    """
    from rich.text import Text

    from service.flows.halves import replicate_reads
    from service.flows.opened import open_profile
    from service.reports.sheet import Sheet

    with stages() as report:
        opened = open_profile(find_repository(repo), settings_for(home), report)
        found = replicate_reads(opened, n_tokens=tokens)
    if form is MachineFormat.JSON:
        show(json.dumps([row.model_dump(mode="json") for row in found], indent=2) + "\n")
        return
    rows = tuple(
        (r.reading, r.n_authors, f"{r.auroc:.3f}", "-" if r.p_value is None else f"{r.p_value:.4f}",
         f"{r.top1:.3f}")
        for r in found
    )  # fmt: skip
    title = "half A of an author's commits finds half B"
    show(Sheet(title, ("reading", "authors", "AUROC", "p", "top-1"), rows).to_table())
    note = (
        "AUROC .5 and top-1 of 1 / authors are chance. Edits are not read: each half would want its own run."
    )
    show(Text(note, style="dim"))


def seeds(
    author: Annotated[str, typer.Argument(help="Author (key, name or address).", show_default=False)],
    repo: Repo = HERE,
    home: Home = None,
    seeds: Annotated[int, typer.Option(min=1, max=20, help="Trainings besides the profile's own.")] = 2,
    form: FormatOption = MachineFormat.TEXT,
) -> None:
    """Test whether what an author's adapter learned comes back when their code is read in another order.

    The author's page shows the answer. Adapters of shuffled authors say how alike any two adapters are.
    """
    from rich.text import Text

    from service.flows.opened import open_profile
    from service.flows.seeds import read_seeds

    with stages() as report:
        opened = open_profile(find_repository(repo), settings_for(home), report)
        found = read_seeds(opened, author, seeds)
    if form is MachineFormat.JSON:
        show(json.dumps(found.model_dump(mode="json"), indent=2) + "\n")
        return
    own, null = ([f"{value:.3f}" for value in values] for values in (found.cosines, found.null_cosines))
    show(Text(f"Cosines of the learned differences of {found.n_seeds} seeds: {', '.join(own)}."))
    show(Text(f"Of each with adapters of shuffled authors: {', '.join(null) or 'none was trained'}."))


def _render(found: PairsReport, n_examples: int) -> Iterator[RenderableType]:
    from rich.text import Text

    from service.reports.escape import visible
    from service.reports.sheet import Sheet

    counted = ", ".join(f"{kind}: {n}" for kind, n in found.n_found.items())
    blocks = ", ".join(f"{name}: {n}" for name, n in found.authors.items()) or "none"
    yield Text(
        visible(
            f"Pairs alike in {found.least_likeness:.0%} of masked shingles. {counted}. By authors: {blocks}."
        )
    )
    if found.sides:
        columns = (
            "pairs",
            "reading",
            "pairs read",
            "clusters",
            "told",
            "p",
            "agreement",
            "p",
            "cosine",
            "strangers",
        )
        rows = tuple(
            (r.pairs, r.reading, r.n_pairs, r.n_clusters, f"{r.told:.3f}", f"{r.told_p:.4f}",
             f"{r.agreement:.2f}", f"{r.agreement_p:.4f}", f"{r.cosine:.3f}", f"{r.stranger_cosine:.3f}")
            for r in found.sides
        )  # fmt: skip
        yield Sheet("whose hunk is whose, told by the other pairs", columns, rows, n_names=2).to_table()
    if found.leans:
        columns = ("adapters", "unread pairs", "own favoured", "nats a token", "p")
        rows = tuple(
            (r.adapters, r.n_pairs, f"{r.share:.3f}", f"{r.mean:+.4f}", f"{r.p_value:.4f}")
            for r in found.leans
        )
        yield Sheet("do adapters favour their own author's hunk", columns, rows).to_table()
    yield Text(
        "Told: .5 is chance. Agreement: of differences, in units of its mean under swapped sides. Cosine: of "
        "a pair's two directions, beside hunks of different pairs.",
        style="dim",
    )
    for example in found.examples[:n_examples]:
        yield from _show_pair(*example)


def _show_pair(first: str, text: str, second: str, other: str, likeness: float) -> Iterator[RenderableType]:
    """Both hunks, one below the other."""
    from rich.text import Text

    from service.reports.escape import visible

    yield Text(f"\n{likeness:.2f}  {visible(first)}", style="bold")
    yield Text("\n".join(visible(line) for line in text.splitlines()))
    yield Text(visible(second), style="bold")
    yield Text("\n".join(visible(line) for line in other.splitlines()))
