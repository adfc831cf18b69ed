"""An evaluation as tables: for the terminal and for Markdown, from the same rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.text import Text

from fingerprint.evaluation.results import Evaluation, Figure, TransferRow
from service.reports.sheet import Sheet


def render(found: Evaluation) -> Iterator[RenderableType]:
    """Every table that has rows, then the notes."""
    yield Text(f"\n{found.repository} against {found.foreign or 'nothing'}: {_dates(found)}\n", style="bold")
    for sheet in _sheets(found):
        yield sheet.to_table()
    for line in _remarks(found):
        yield Text(f"- {line}", style="dim")


def render_all(found: Sequence[Evaluation]) -> RenderableType:
    """The main figures of every repository, one row each."""
    return _summary(found).to_table()


def render_transfer(rows: Sequence[TransferRow]) -> RenderableType:
    """A back-end trained on the other repositories, one row a repository, system and unit."""
    return _transfer(rows).to_table()


def markdown(found: Sequence[Evaluation], transfer: Sequence[TransferRow] = ()) -> str:
    """The same for a document: all repositories together, then each."""
    parts = [_summary(found).to_markdown()] if len(found) > 1 else []
    parts += [_transfer(transfer).to_markdown()] if transfer else []
    for one in found:
        parts.append(f"## {one.repository}\n\nAgainst {one.foreign or 'nothing'}; {_dates(one)}.\n")
        parts += [sheet.to_markdown() for sheet in _sheets(one)]
        parts.append("\n".join(f"- {line}" for line in _remarks(one)) + "\n")
    return "\n".join(parts)


def _summary(found: Sequence[Evaluation]) -> Sheet:
    systems = list(dict.fromkeys(r.system for one in found for r in one.attribution if r.unit == "hunk"))
    rows: list[tuple[object, ...]] = []
    for one in found:
        areas = {row.system: row.auroc for row in one.attribution if row.unit == "hunk"}
        n_authors = max((row.n_authors for row in one.attribution), default=len(one.losses.columns)
                        if one.losses else 0)  # fmt: skip
        rows.append((one.repository, n_authors, *(
            _figure(areas[system]) if system in areas else "-" for system in systems
        )))  # fmt: skip
    return Sheet("attribution of hunks on the time split, AUROC", ("repository", "K", *systems), tuple(rows))


def _transfer(rows: Sequence[TransferRow]) -> Sheet:
    peers = list(dict.fromkeys(peer for row in rows for peer in row.minus))
    return Sheet(
        "a back-end trained on the other repositories, AUROC, and its paired difference to others",
        ("repository", "system", "unit", "n", "AUROC", *(f"minus {peer}" for peer in peers)),
        tuple((r.repository, r.system, r.unit, r.n, _figure(r.auroc),
               *(_figure(r.minus[peer]) if peer in r.minus else "-" for peer in peers)) for r in rows),
    )  # fmt: skip


def _sheets(found: Evaluation) -> Iterator[Sheet]:
    yield Sheet(
        "authors", ("author", "samples before", "commits", "test samples", "commits", "left out because"),
        tuple((r.author, r.samples_before, r.commits_before, r.test_samples, r.test_commits, r.reason)
              for r in found.authors),
    )  # fmt: skip
    yield Sheet(
        "adapters (dev loss, nats a token)",
        ("adapter", "tokens seen", "distinct", "epochs", "base", "team", "own"),
        tuple(
            (f"{r.kind} {r.name}" if r.kind != r.name else r.name, r.scored_tokens, r.text_tokens, r.epochs,
             _loss(r.base_loss), _loss(r.team_loss), _loss(r.own_loss))
            for r in found.adapters
        ),
    )  # fmt: skip
    if found.losses is not None:
        yield _loss_matrix(found)
    if found.anchors:
        yield Sheet(
            "n-grams (B1) under every split and view",
            ("split", "view", "unit", "n", "AUROC", "balanced top-1", "same directory (S6)"),
            tuple((r.split, r.view, r.unit, r.n, _figure(r.auroc), _figure(r.balanced),
                   _share(r.same_directory)) for r in found.anchors),
        )  # fmt: skip
    yield from _attribution(found)
    yield from _detection(found)


def _attribution(found: Evaluation) -> Iterator[Sheet]:
    systems = (
        (found.attribution, "attribution on the time split"),
        (found.refitted, "the same, refitted on everything before the cut"),
        (found.null_attribution, "null adapters"),
    )
    for rows, title in systems:
        if rows:
            yield Sheet(
                title, ("system", "unit", "n", "K", "AUROC", "balanced top-1", "top-3", "EER"),
                tuple((r.system, r.unit, r.n, r.n_authors, _figure(r.auroc), _figure(r.balanced),
                       _share(r.top3), _share(r.eer)) for r in rows),
            )  # fmt: skip
    if found.evidence:
        yield Sheet(
            "claims \"this author wrote this text\" (T2), and whether probabilities can be believed",
            ("system", "unit", "n", "AUROC", "EER", "Cllr", "at best", "ECE", "confidence", "accuracy",
             "answered", "c@1"),
            tuple((r.system, r.unit, r.n, _figure(r.auroc), *map(_share, (
                r.eer, r.cllr, r.min_cllr, r.calibration_error, r.confidence, r.accuracy, r.answered,
                r.c_at_1,
            ))) for r in found.evidence),
        )  # fmt: skip
    if found.replication:
        yield Sheet(
            "half A of an author's commits finds half B",
            ("reading", "authors", "K", "AUROC", "p", "top-1", "ICC(1), median over sites"),
            tuple((r.reading, r.labels, r.n_authors, _share(r.auroc), _share(r.p_value), _share(r.top1),
                   _share(r.icc))
                  for r in found.replication),
        )  # fmt: skip
    if found.contrasts:
        yield Sheet(
            "paired differences in AUROC", ("first", "minus", "unit", "difference"),
            tuple((r.first, r.second, r.unit, _figure(r.auroc)) for r in found.contrasts),
        )  # fmt: skip


def _detection(found: Evaluation) -> Iterator[Sheet]:
    for against in dict.fromkeys(row.against for row in found.detection):
        yield Sheet(
            f"{against} against the team's later code",
            ("system", "unit", "team", "theirs", "AUROC", "within a doubling of size", "TPR at 1 % FPR",
             "at 5 %"),
            tuple((r.system, r.unit, r.n_team, r.n_strangers, _figure(r.auroc),
                   "" if r.matched is None else _figure(r.matched), _share(r.tpr_at_1), _share(r.tpr_at_5))
                  for r in found.detection if r.against == against),
        )  # fmt: skip
    if found.flagged:
        yield Sheet(
            "flagged by the conformal p-value", ("commits", "level", "flagged", "share", "95 % interval"),
            tuple((r.who, f"{r.level:g}", f"{r.n_flagged} of {r.n}", _share(r.share), _range(r.low, r.high))
                  for r in found.flagged),
        )  # fmt: skip
    if found.sequences:
        yield Sheet(
            "evidence over one author's commits, one after another, at .05",
            ("whose", "score", "against", "streams of 20", "found", "by 5", "by 10", "median commits"),
            tuple((r.who, r.part, r.against, r.n_streams, _figure(r.found), _share(r.found_by_5),
                   _share(r.found_by_10), "-" if r.median_delay is None else f"{r.median_delay:g}")
                  for r in found.sequences),
        )  # fmt: skip
    if found.changes:
        yield Sheet(
            "alarms over commits at known changes of convention",
            ("change", "day", "kind", "rule", "reference", "before", "delay", "false before"),
            tuple((r.what, r.day, r.kind, r.rule, r.n_reference, r.n_before,
                   "none" if r.delay is None else r.delay, r.n_false) for r in found.changes),
        )  # fmt: skip
    if found.ablation:
        yield Sheet(
            "taking cited routes away, against random alive ones of like energy",
            ("routes", "hunks", "change of Lambda, cited over random", "moves as claimed"),
            tuple((r.n_routes, r.n, _figure(r.ratio), _share(r.agreement)) for r in found.ablation),
        )  # fmt: skip


def _remarks(found: Evaluation) -> Iterator[str]:
    if found.drift:
        yield f"drift: {_facts(found.drift)}"
    yield from found.notes
    yield f"seconds by phase: {_facts(found.seconds)}"


def _loss_matrix(found: Evaluation) -> Sheet:
    losses = found.losses
    assert losses is not None
    title = (
        f"dev loss of every adapter (rows) on every author's code (columns); own adapter best for "
        f"{losses.n_diagonal_least} of {len(losses.columns)}"
    )
    rows = tuple(
        (name, *(_loss(value) for value in values))
        for name, values in zip(losses.rows, losses.values, strict=True)
    )
    return Sheet(title, ("", *(column.partition(":")[2] for column in losses.columns)), rows)


def _dates(found: Evaluation) -> str:
    history = found.history
    before = f"train from {history['train_from']} ({history['train_commits']} commits)"
    after = f"last {history['last']} ({history['test_commits']} commits after the cut)"
    return f"{before}, cut {history['test_from']}, {after}"


def _range(low: float, high: float) -> str:
    return f"{low:.3f} - {high:.3f}"


def _figure(figure: Figure) -> str:
    if figure.value is None:
        return "-"
    if figure.low is None or figure.high is None:
        return f"{figure.value:.3f}"
    return f"{figure.value:.3f} ({figure.low:.3f} - {figure.high:.3f})"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _loss(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _facts(facts: dict[str, float] | dict[str, float | int | str | None]) -> str:
    return ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in facts.items()
    )
