"""Whether a run may be believed: rules that stop it early, and the guard against the degenerate optimum."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

COLLAPSE_AFTER = 0.2
"""Share of the steps after which a collapse counts."""
ALL_OPEN = 0.99
"""Collapse to one: at least this share of all gates is above one half."""
ALL_CLOSED = 0.9
"""Collapse to zero: without Delta at least this share of the distance at which everything is ablated."""
MOST_DELTA_OFF = 0.5
"""Guard: without Delta the outputs must be nearer to the target's than to the ablated model's."""
NO_EFFECT = 1e-8
"""Distances below this are rounding: nothing is decomposed, and nothing can be degenerate."""


@dataclass(frozen=True)
class Watch:
    """What the rules look at, at one step.

    Attributes:
        step: steps done. delta_off: distance with every component on and Delta off. zero: distance with
            everything off. stochastic: under random sources. adversarial: under a fresh adversary of 20
            steps. open_share: share of gates above one half.
    """

    step: int
    delta_off: float
    zero: float
    stochastic: float
    adversarial: float
    open_share: float


@dataclass
class Verdict:
    """INVALID as soon as there is a reason; notes do not invalidate."""

    reasons: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def is_valid(self) -> bool:
        """Whether nothing speaks against the run."""
        return not self.reasons

    def __str__(self) -> str:
        head = "VALID" if self.is_valid else "INVALID: " + "; ".join(self.reasons)
        return head + "".join(f" (note: {note})" for note in self.notes)


def reason_to_stop(watch: Watch, steps: int) -> str | None:
    """An abort rule that holds, in words; None: go on."""
    figures = (watch.delta_off, watch.zero, watch.stochastic, watch.adversarial)
    if not all(map(math.isfinite, figures)):
        return f"a distance is not finite after {watch.step} steps: lower the learning rate"
    if watch.step < COLLAPSE_AFTER * steps:
        return None
    if watch.open_share >= ALL_OPEN:
        return (
            f"{watch.open_share:.1%} of the gates are above one half after {watch.step} steps: "
            "raise importance_coefficient, or give the sites enough components for their rank"
        )
    if watch.zero > NO_EFFECT and watch.delta_off >= ALL_CLOSED * watch.zero:
        return (
            f"after {watch.step} steps the components without Delta are as far from the target "
            f"({watch.delta_off:.2g}) as no components ({watch.zero:.2g}): raise faithfulness_coefficient"
        )
    return None


def note_of(history: list[Watch]) -> str | None:
    """A warning when fresh adversaries grow stronger while random sources grow harmless."""
    if len(history) < 3:
        return None
    first, last = history[len(history) // 2], history[-1]
    if last.adversarial > 2 * first.adversarial and last.stochastic < first.stochastic:
        return (
            f"fresh adversaries rose from {first.adversarial:.2g} to {last.adversarial:.2g} over the second "
            "half while random sources fell: raise n_ascents or adversarial_coefficient"
        )
    return None


def judge(delta_off: float, zero: float, history: list[Watch], stopped: str | None) -> Verdict:
    """The verdict on a run that ended.

    Args:
        delta_off, zero: held-out distances with Delta off, and with everything off.
        stopped: the abort rule that ended it.
    """
    verdict = Verdict([stopped] if stopped else [])
    if not math.isfinite(delta_off) or delta_off > max(MOST_DELTA_OFF * zero, NO_EFFECT):
        verdict.reasons.append(
            f"degenerate: Delta carries the model (without it {delta_off:.2g} from the target, everything "
            f"ablated {zero:.2g}), so gates and components mean nothing"
        )
    if zero <= NO_EFFECT:
        verdict.notes.append("the decomposed matrices have no effect on the outputs: nothing to find")
    if note := note_of(history):
        verdict.notes.append(note)
    return verdict
