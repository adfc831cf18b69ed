"""Write EVALUATION.md and its figures: ``python -m service.flows.evaluation.page [RESULT.json ...]``.

New results are those of ``routeprint eval MANIFEST --out FOLDER`` and of ``service.flows.evaluation.bases``
and ``.agents``; they join the ones kept beside the page or replace the same repository's. Nobody's name is
kept.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from fingerprint.evaluation.agents import AGAINST as AGENTS
from fingerprint.evaluation.config import departures
from fingerprint.evaluation.forest import Row, forest_svg
from fingerprint.evaluation.novelty import DRIFT, LAMBDA, NEIGHBOURS
from fingerprint.evaluation.results import (
    AgentTransfer,
    BaseCurve,
    BaseRow,
    DetectionRow,
    Evaluation,
    Figure,
)
from fingerprint.evaluation.systems import (
    ALM,
    B1,
    B6,
    B8,
    B9,
    FISHER,
    INDEPENDENT,
    LOGISTIC,
    PERPLEXITY,
    SCAN,
    SITES,
    SIZE,
    TEXT_LOGISTIC,
    UNDER_FIRST,
)

FOLDER = Path(__file__).parents[3] / "fingerprint" / "evaluation"
SHOWN_DETECTORS = (DRIFT, LAMBDA, NEIGHBOURS, PERPLEXITY, SIZE)
_FOREIGN = "foreign repository"
_PERSON = r"human:[\w.@+-]+"


def keep(paths: Sequence[Path], folder: Path) -> None:
    """Copy results into a folder by the repository's name, people numbered in order of appearance.

    Curves over bases name nobody and go to its folder "bases", agents told across repositories to "agents",
    runs of known changes alone to "changes".
    """
    for name in ("bases", "changes", "agents"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for path in paths:
        text = path.read_text(encoding="utf-8")
        if "rows" in json.loads(text):
            curve = BaseCurve.model_validate_json(text)
            (folder / "bases" / f"{_slug(curve)}.json").write_text(text, encoding="utf-8")
            continue
        if "repositories" in json.loads(text):
            AgentTransfer.model_validate_json(text)
            (folder / "agents" / path.name).write_text(text, encoding="utf-8")
            continue
        found = Evaluation.model_validate_json(_nameless(text))
        is_changes = bool(found.changes) and not (found.attribution or found.detection)
        place = folder / "changes" if is_changes else folder
        (place / f"{_slug(found)}.json").write_text(found.model_dump_json() + "\n", encoding="utf-8")


def read_curves(folder: Path) -> list[BaseCurve]:
    """Every kept curve over bases, by repository."""
    return [
        BaseCurve.model_validate_json(path.read_text(encoding="utf-8"))
        for path in sorted((folder / "bases").glob("*.json"))
    ]


def read_agents(folder: Path) -> list[AgentTransfer]:
    """Every kept result on agents across repositories, by the file's name."""
    return [
        AgentTransfer.model_validate_json(path.read_text(encoding="utf-8"))
        for path in sorted((folder / "agents").glob("*.json"))
    ]


def read_results(folder: Path) -> list[Evaluation]:
    """Every kept result, by name."""
    return [
        Evaluation.model_validate_json(path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("*.json"))
    ]


def _slug(one: Evaluation | BaseCurve) -> str:
    return one.repository.replace(", ", "-")


def _nameless(text: str) -> str:
    numbers: dict[str, str] = {}
    # names of people in a manifest hold spaces
    known = sorted((row["author"] for row in json.loads(text)["authors"]), key=len, reverse=True)
    people = re.compile("|".join([*map(re.escape, known), _PERSON]))
    return people.sub(lambda found: numbers.setdefault(found[0], f"human:author {len(numbers) + 1}"), text)


_TEXT = ("n-grams", "layout", "author trigrams", "compression", "stack of", "B1-B4")
"""How the names of systems that read text alone begin."""


def kind_of(system: str) -> str:
    """What a system reads, for its mark in a figure."""
    if "control" in system or "null" in system or "of the base" in system:
        return "control"
    if "stacked" in system or "fused" in system:
        return "fused"
    return "text" if system.startswith(_TEXT) else "routes"


def render(
    found: Sequence[Evaluation], curves: Sequence[BaseCurve] = (), changes: Sequence[Evaluation] = (),
    agents: Sequence[AgentTransfer] = (),
) -> str:  # fmt: skip
    """The page: the template and what we read in the figures, with the figures.

    Args:
        changes: runs of nothing but known changes.
    """
    template, summary = (
        (FOLDER / name).read_text(encoding="utf-8") for name in ("evaluation.md.in", "summary.md.in")
    )
    parts = {
        "summary": summary.strip(),
        "repositories": _table(found, _facts),
        "attribution": _images(found, "attribution") + "\n\n" + _table(found, _attribution),
        "contrasts": _table(found, _contrasts),
        "detection": _images(found, "detection") + "\n\n" + _table(found, _detection),
        "flagged": _table(found, _flagged),
        "sequences": _table(found, _sequences),
        "evidence": _table(found, _evidence),
        "halves": _table(found, _halves),
        "ablation": _table(found, _ablation),
        "nulls": _table(found, _nulls),
        "anchors": _table(found, _anchors),
        "changes": _changes([*found, *changes]),
        "bases": "\n\n".join(_curve(one) for one in curves),
        "agents": "\n\n".join(_agents(one) for one in agents),
    }
    return template.format(**parts)


def figures(found: Sequence[Evaluation]) -> Iterator[tuple[str, str]]:
    """(file name, SVG) of every repository: who wrote it, and is it the team's."""
    for one in found:
        slug = _slug(one)
        for rows, kind, title in (
            (one.attribution, "early", "read: the train slice"),
            (one.refitted, "late", "read: all before the cut"),
        ):
            lines = [Row(r.system, kind_of(r.system), r.auroc) for r in rows if r.unit == "hunk"]
            if lines:
                lines.sort(key=lambda row: -(row.figure.value or 0))
                name = f"{one.repository}: who wrote a later hunk, AUROC ({title})"
                yield f"attribution-{slug}-{kind}.svg", forest_svg(name, lines)
        against = [r for r in one.detection if r.against == one.foreign and r.unit == "commit"]
        if against:
            lines = [Row(r.system, kind_of(r.system), r.auroc) for r in against]
            lines.sort(key=lambda row: -(row.figure.value or 0))
            name = f"{one.repository}: {one.foreign}'s commits against its own later ones, AUROC"
            yield f"detection-{slug}.svg", forest_svg(name, lines)


CURVE_SYSTEMS = (ALM, INDEPENDENT, SCAN, SITES, LOGISTIC, FISHER, B8, B9, B1, B6, TEXT_LOGISTIC)
"""Systems of the curve over bases; the last three read text alone and should not move."""


def curve_figures(curves: Sequence[BaseCurve]) -> Iterator[tuple[str, str]]:
    """(file name, SVG) of every curve: perplexity and the routes under each base."""
    for one in curves:
        lines = [
            Row(f"{system}: {row.base}", kind_of(system), found.auroc)
            for system in (ALM, INDEPENDENT, SITES, LOGISTIC, B6)
            for row in one.rows
            for found in row.systems
            if (found.system, found.unit) == (system, "hunk")
        ]
        title = f"{one.repository}: the same later hunks under every base, AUROC"
        yield f"bases-{_slug(one)}.svg", forest_svg(title, lines)


def _curve(one: BaseCurve) -> str:
    """One column a base."""
    head = [f"{one.repository}, {one.tokens:,} tokens an author", *(row.base for row in one.rows)]
    table = _side_by_side(head, [dict(_base_rows(row)) for row in one.rows])
    return f"![bases-{_slug(one)}](figures/bases-{_slug(one)}.svg)\n\n{table}"


def _base_rows(row: BaseRow) -> Iterator[tuple[str, str]]:
    yield "parameters", f"{row.n_parameters:,}"
    if row.heldout_bits is not None:
        yield "held-out packages, bits a byte", f"{row.heldout_bits:.3f}"
    yield "authors' dev code, nats a token", f"{row.dev_loss:.3f}"
    yield "own adapter better than the base on dev", f"{row.n_improved} of {row.n_authors}"
    for unit in ("hunk", "commit"):
        areas = {found.system: found.auroc for found in row.systems if found.unit == unit}
        for system in CURVE_SYSTEMS:
            if system in areas:
                yield f"{system}, by {unit}", _figure(areas[system])
    for one in row.contrasts:
        if one.second in {B6, TEXT_LOGISTIC} or one.second.endswith(UNDER_FIRST):
            yield f"{one.first} minus {one.second}, by {one.unit}", _figure(one.auroc, signed=True)


def _agents(one: AgentTransfer) -> str:
    """One column a repository, the mean first, and what the routes gain."""
    names = [f"{own.repository} ({sum(own.n_by_agent.values())} hunks)" for own in one.repositories]
    columns = [dict(_agent_rows(rows)) for rows in (one.mean, *(own.rows for own in one.repositories))]
    for row in one.contrasts:
        columns[0][f"{row.first} minus {row.second}, by {row.unit}"] = _figure(row.auroc, signed=True)
    return _side_by_side([AGENTS, f"mean of {len(names)}", *names], columns)


def _agent_rows(rows: Sequence[DetectionRow]) -> Iterator[tuple[str, str]]:
    for row in rows:
        matched = "" if row.matched is None else f"; {row.matched.value:.3f}"
        yield f"{row.system}, by {row.unit}", _figure(row.auroc) + matched


_Rows = Callable[[Evaluation], Iterator[tuple[str, str]]]


def _table(found: Sequence[Evaluation], rows_of: _Rows) -> str:
    """One row a figure, one column a repository that has any."""
    columns = {one.repository: rows for one in found if (rows := dict(rows_of(one)))}
    return _side_by_side(["", *columns], list(columns.values()))


def _side_by_side(head: Sequence[str], columns: Sequence[Mapping[str, str]]) -> str:
    """Figures by name, a column each, in Markdown; "-" where a column lacks one."""
    names = list(dict.fromkeys(name for column in columns for name in column))
    lines = [head, ["---"] * len(head)]
    lines += [[name, *(column.get(name, "-") for column in columns)] for name in names]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _images(found: Sequence[Evaluation], start: str) -> str:
    names = [name for name, _ in figures(found) if name.startswith(start)]
    return "\n\n".join(f"![{name.removesuffix('.svg')}](figures/{name})" for name in names)


def _facts(one: Evaluation) -> Iterator[tuple[str, str]]:
    history, losses = one.history, one.losses
    preset, dials = departures(one.setting)
    yield "preset", f"`{preset}`" if preset.startswith("-") else preset
    yield "dials besides", "; ".join(f"{dial} {value or 'none'}" for dial, value in dials.items()) or "-"
    yield "foreign code", one.foreign or "-"
    yield "authors", str(len(losses.columns) if losses else 0)
    if losses is not None:
        yield "scored tokens an author", f"{history['budget_tokens']:,}"
    before = sum(int(history[f"{part}_commits"] or 0) for part in ("train", "dev", "calibration"))
    yield "commits before the cut", f"{before:,}"
    yield "cut", str(history["test_from"])
    yield "commits after it", f"{history['test_commits']:,}"
    for name in ("base", "team", "reference"):
        if losses is not None:
            row = losses.values[losses.rows.index(name)]
            yield f"dev loss, {name}, mean over authors", f"{sum(row) / len(row):.3f}"
    if losses is not None:
        yield "own adapter best of all authors'", f"{losses.n_diagonal_least} of {len(losses.columns)}"


def _attribution(one: Evaluation) -> Iterator[tuple[str, str]]:
    for rows, suffix in ((one.attribution, ""), (one.refitted, ", refitted")):
        for unit in ("hunk", "commit"):
            for row in rows:
                if row.unit == unit:
                    yield f"{row.system}{suffix}, by {unit}", _figure(row.auroc)


def _contrasts(one: Evaluation) -> Iterator[tuple[str, str]]:
    for row in one.contrasts:
        if row.unit == "hunk":
            yield f"{row.first} minus {row.second}", _figure(row.auroc, signed=True)


def _detection(one: Evaluation) -> Iterator[tuple[str, str]]:
    for row in one.detection:
        if row.system in SHOWN_DETECTORS or "fused" in row.system:
            who = _stranger(row.against, one.foreign)
            is_foreign = who.startswith(_FOREIGN) and row.tpr_at_1 is not None
            found = f"; {row.tpr_at_1:.1%}" if is_foreign else ""
            yield f"{who}, by {row.unit}: {row.system}", _figure(row.auroc) + found
            if row.matched is not None:
                yield f"{who}, by {row.unit}, within a doubling of size: {row.system}", _figure(row.matched)


def _stranger(against: str, foreign: str | None) -> str:
    """How the page calls them: the other repository is another one in every column."""
    return against if foreign is None else re.sub(f"^{re.escape(foreign)}(?=$|, )", _FOREIGN, against)


def _whose(who: str, foreign: str | None) -> str:
    """The same for what is said of somebody's commits."""
    return who.replace(f"{foreign}'s", f"the {_FOREIGN}'s")


def _flagged(one: Evaluation) -> Iterator[tuple[str, str]]:
    for row in one.flagged:
        who = _whose(row.who, one.foreign)
        if row.share is not None:
            interval = f"{row.low:.3f}-{row.high:.3f}"
            yield f"{who}, at {row.level:g}", f"{row.share:.3f} ({interval}), n = {row.n}"


def _sequences(one: Evaluation) -> Iterator[tuple[str, str]]:
    for row in one.sequences:
        who = _whose(row.who, one.foreign)
        delay = "" if row.median_delay is None else f"; after {row.median_delay:g}"
        streams = f"{row.n_streams} of {row.n_authors}"
        yield f"{who}, {row.part}, against {row.against}", f"{_figure(row.found)}{delay}; {streams}"


def _evidence(one: Evaluation) -> Iterator[tuple[str, str]]:
    for row in one.evidence:
        if row.unit == "commit" and row.cllr is not None:
            yield f"{row.system}: Cllr (at best)", f"{row.cllr:.3f} ({row.min_cllr:.3f})"


def _halves(one: Evaluation) -> Iterator[tuple[str, str]]:
    for row in one.replication:
        yield f"{row.reading}, {row.labels} authors", f"{row.auroc:.2f} / {row.top1:.2f}"


def _ablation(one: Evaluation) -> Iterator[tuple[str, str]]:
    for row in one.ablation:
        yield f"{row.n_routes} routes", f"{_figure(row.ratio)}, {row.agreement:.0%} as claimed"


def _anchors(one: Evaluation) -> Iterator[tuple[str, str]]:
    for row in one.anchors:
        if row.unit == "hunk":
            beside = "" if row.same_directory is None else f"; {row.same_directory:.2f}"
            yield f"{row.split}, {row.view}", _figure(row.auroc) + beside


def _changes(found: Sequence[Evaluation]) -> str:
    """One row a change, one column a rule: no two repositories have a change in common."""
    columns: dict[str, dict[str, str]] = {}
    for one in found:
        for row in one.changes:
            delay = "no alarm" if row.delay is None else f"after {row.delay}"
            name = f"{one.repository}: {row.what}, {row.day} ({row.kind})"
            told = f"{delay} of {row.n_after}; {row.n_false} in {row.n_before} before"
            columns.setdefault(row.rule, {})[name] = told
    return _side_by_side(["", *columns], list(columns.values()))


def _nulls(one: Evaluation) -> Iterator[tuple[str, str]]:
    for row in one.null_attribution:
        if row.unit == "hunk":
            yield row.system, _figure(row.auroc)


def _figure(figure: Figure, *, signed: bool = False) -> str:
    if figure.value is None:
        return "-"
    sign = "+" if signed else ""
    value = f"{figure.value:{sign}.3f}"
    if figure.low is None or figure.high is None:
        return value
    between = " to " if signed else "-"
    return f"{value} ({figure.low:.3f}{between}{figure.high:.3f})"


def main() -> None:
    """Write the page and its figures beside the evaluation's code."""
    parser = argparse.ArgumentParser(description="Write EVALUATION.md")
    parser.add_argument("results", type=Path, nargs="*", help="NAME.json of routeprint eval --out")
    keep(parser.parse_args().results, FOLDER / "results")
    found, curves = read_results(FOLDER / "results"), read_curves(FOLDER / "results")
    changes, agents = read_results(FOLDER / "results" / "changes"), read_agents(FOLDER / "results")
    (FOLDER / "figures").mkdir(exist_ok=True)
    for name, svg in (*figures(found), *curve_figures(curves)):
        (FOLDER / "figures" / name).write_text(svg, encoding="utf-8")
    (FOLDER / "EVALUATION.md").write_text(render(found, curves, changes, agents), encoding="utf-8")


if __name__ == "__main__":
    main()
