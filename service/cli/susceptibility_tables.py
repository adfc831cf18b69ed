"""Susceptibilities as tables for people, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.text import Text

from service.flows.development.shifts import AUTHOR, CORRECT, INCORRECT, TEAM
from service.reports.sheet import Sheet

if TYPE_CHECKING:
    import numpy as np

    from fingerprint.development.responses import CheckpointResponse
    from fingerprint.development.susceptibility import Opposite
    from service.flows.development.susceptibility import Susceptibility

CONTRASTS = ((CORRECT, INCORRECT), (AUTHOR, TEAM))
_NOTE = (
    "chi in units of the observable's posterior spread, in brackets its standard errors. Below zero: the "
    "component's freedom goes with that text; above: against it. Factors count those above both nulls, "
    "permuted and shifted draws."
)
BEYOND = 2.26
"""Standard errors that Student's t of nine degrees of freedom exceeds in one case of twenty."""
MOST_CONTRASTS = 8
"""Components shown beside shuffled authors."""
_LEAST = 2.0
"""Effective draws of a block that its covariance needs at least."""
_FAR = 0.5
"""Rise of the draws' loss, in nats a token, from which they describe another model than the checkpoint."""


def opposites(response: CheckpointResponse) -> dict[str, list[Opposite]]:
    """Opposite responders of the contrasts whose data sets are there."""
    from fingerprint.development.susceptibility import opposite_responders

    return {
        f"{first} against {second}": opposite_responders(
            response.response, response.components, response.sets.index(first), response.sets.index(second)
        )
        for first, second in CONTRASTS
        if {first, second} <= set(response.sets)
    }


def render_susceptibility(study: Susceptibility, top: int) -> Iterator[RenderableType]:
    """The checkpoints, the last one's strongest responses, and its opposite responders."""
    yield Sheet(
        f"{study.subject}: checkpoints",
        (
            "step",
            "loss",
            "rise of the draws",
            "effective draws",
            "chains lost",
            "factors",
            "of variance",
            "opposite",
        ),
        tuple(_checkpoint_row(response) for response in study.responses),
    ).to_table()
    if study.nulls and {AUTHOR, TEAM} <= set(study.responses[0].sets):
        yield from _beside_nulls(study, top)
    last = study.responses[-1]
    response, spread = last.response, last.draws.spread
    strongest = abs(response.z).max(1).argsort()[::-1][:top]
    yield Sheet(
        f"step {last.step:,}: components, the surest first", ("component", *last.sets),
        tuple(
            (last.components[i], *(_cell(response.chi[i, j] / max(spread[i], 1e-300), response.z[i, j])
                                   for j in range(len(last.sets))))
            for i in strongest
        ),
    ).to_table()  # fmt: skip
    for name, rows in opposites(last).items():
        found = [row for row in rows if row.is_opposite]
        if not found:
            yield Text(f"{name}: no component answers in opposite directions (false discoveries at .05).")
            continue
        yield Sheet(
            f"step {last.step:,}: {name}, opposite responders", ("component", "z", "z", "q"),
            tuple(
                (r.component, f"{r.first_z:+.1f}", f"{r.second_z:+.1f}", f"{r.adjusted:.3f}") for r in found
            ),
        ).to_table()  # fmt: skip
    yield Text(_NOTE, style="dim")
    if any(response.effective_draws < _LEAST * response.config.n_blocks for response in study.responses):
        yield Text(
            "The draws are worth fewer than two for each block that errors are read from: errors are too "
            "small. Draw more (--draws).",
            style="dim",
        )
    if any(response.rise > _FAR for response in study.responses):
        yield Text(
            f"Draws whose loss rises by more than {_FAR} nats a token are not near their checkpoint: "
            "raise --gamma.",
            style="dim",
        )


def _beside_nulls(study: Susceptibility, top: int) -> Iterator[RenderableType]:
    """Answers to the author's code less those to the team's, beside those of shuffled authors' adapters."""
    own = [_contrast_z(response) for response in study.responses]
    nulls = [[_contrast_z(response) for response in null.responses] for null in study.nulls]
    rows: list[tuple[object, ...]] = []
    for i, z in enumerate(own):
        beside = [null[i] for null in nulls if i < len(null)]
        rows.append(
            (f"{study.responses[i].step:,}", int((abs(z) > BEYOND).sum()),
             ", ".join(str(int((abs(null) > BEYOND).sum())) for null in beside), f"{abs(z).max():.1f}",
             ", ".join(f"{abs(null).max():.1f}" for null in beside))
        )  # fmt: skip
    columns = (
        "step", f"beyond {BEYOND:g} s.e., of {len(own[0])}", "shuffled authors", "largest |z|",
        "shuffled authors",
    )  # fmt: skip
    yield Sheet("author's code less the team's", columns, tuple(rows)).to_table()
    last, beside = study.responses[-1], [null[-1] for null in nulls]
    strongest = abs(own[-1]).argsort()[::-1][: min(top, MOST_CONTRASTS)]
    yield Sheet(
        f"step {last.step:,}: author's code less the team's, the surest first",
        ("component", "z", "z of shuffled authors"),
        tuple(
            (last.components[k], f"{own[-1][k]:+.1f}", ", ".join(f"{null[k]:+.1f}" for null in beside))
            for k in strongest
        ),
    ).to_table()  # fmt: skip


def _contrast_z(response: CheckpointResponse) -> np.ndarray:
    """One value a component, in standard errors."""
    return response.contrast(AUTHOR, TEAM).z[:, 0]


def _checkpoint_row(response: CheckpointResponse) -> tuple[object, ...]:
    from fingerprint.development.sampling import LOSS

    factors = response.factors
    share = factors.explained[: factors.n_factors].sum()
    n_opposite = sum(row.is_opposite for rows in opposites(response).values() for row in rows)
    return (
        f"{response.step:,}", f"{float(response.trace.at_star[LOSS]):.3f}", f"{response.rise:+.4f}",
        f"{response.effective_draws:.0f} of {response.trace.of(LOSS).size}",
        len(response.trace.diverged), factors.n_factors, f"{share:.0%}", n_opposite,
    )  # fmt: skip


def _cell(value: float, z: float) -> str:
    return f"{value:+.1e} ({z:+.1f})"


def to_machine(study: Susceptibility) -> dict[str, Any]:
    """Everything the tables are made of, at every checkpoint."""
    return {
        "subject": study.subject,
        "checkpoints": [
            _machine(response, seen) | {"digest": digest}
            for response, seen, digest in zip(study.responses, study.tokens_seen, study.digests, strict=True)
        ],
        "shuffled_authors": [to_machine(null) for null in study.nulls],
    }


def _machine(response: CheckpointResponse, tokens_seen: int | None) -> dict[str, Any]:
    from fingerprint.development.sampling import LOSS

    factors, trace = response.factors, response.trace
    return {
        "step": response.step, "tokens_seen": tokens_seen, "loss": float(trace.at_star[LOSS]),
        "rise": response.rise, "effective_draws": response.effective_draws,
        "chains": trace.n_chains, "diverged": list(trace.diverged),
        "step_size": trace.step_size, "seconds": trace.seconds, "sets": list(response.sets),
        "components": list(response.components), "chi": response.response.chi.tolist(),
        "error": response.response.error.tolist(), "spread": response.draws.spread.tolist(),
        "factors": {
            "n": factors.n_factors, "values": factors.values.tolist(),
            "permuted": factors.permuted.tolist(), "shifted": factors.shifted.tolist(),
        },
        "author_less_team_z": (
            _contrast_z(response).tolist() if {AUTHOR, TEAM} <= set(response.sets) else None
        ),
        "opposite": {name: [asdict(row) for row in rows] for name, rows in opposites(response).items()},
    }  # fmt: skip
