"""Every dial and cap of an evaluation. The caps bound its time; what they cut off is said in the result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from fingerprint.config import AdapterConfig, Dials, DriftConfig, ProfileConfig
from fingerprint.evaluation.protocol import EnrolmentRule
from fingerprint.evaluation.results import Setting

Count = Annotated[int, Field(gt=0)]
Part = Literal[
    "strangers", "masked", "attribution", "refits", "base", "splits", "unseen", "ablation", "halves",
    "changes",
]  # fmt: skip
"""Parts of an evaluation, in the order in which they are run: strangers' code and p-values; another
repository's code masked; who wrote it; the same with adapters trained up to the cut; the same by the base
alone (hidden states, gradients, Fisher kernel); simple systems under other splits and views; authors never
enrolled; routes taken away; one half of an author's code finding the other; alarms at known changes."""


class EvaluationConfig(Dials):
    """How one repository is evaluated (evaluation.md section 4)."""

    slices: tuple[float, float, float, float] = (0.47, 0.08, 0.15, 0.3)
    """Shares of human commits, oldest first: train, dev, calibration | the global cut | test. Calibration has
    the share that a profile gives it; with half as much, 37 and 38 commits were too few to hold a level."""
    slice_commits: Count = 200
    """Most commits of dev and of calibration, as in a profile: train takes the rest of their shares."""
    tokens: Count = 150_000
    """Scored-token budget of every author, the newest text first; the team's is twice it."""
    n_null_sets: Annotated[int, Field(ge=0)] = 3
    """Sets of adapters trained on authors shuffled by commit."""
    null_authors: Count = 4
    """Shuffled authors of each set: with two of eight, AUROCs ranged from .24 to .77."""
    least_samples: Count = 60
    """Hunk samples an author needs before the cut (evaluation.md section 4.6)."""
    least_commits: Count = 30
    """Commits an author needs before the cut."""
    least_test_samples: Count = 10
    """Hunk samples an author needs after the cut."""
    most_authors: Count = 10
    """Authors at most, those with the most training samples."""
    ngram_samples: Count = 400
    """Newest training samples an author gives the n-grams (the published anchors' own cap)."""
    fisher_samples: Count = 200
    """Newest training samples an author gives the classifier of the base's routes, each one backward pass."""
    judge: bool = False
    """Ask the language model that the settings name, too (B10); sends hunks there."""
    hidden_samples: Count = 120
    """Newest training samples an author gives the classifier of hidden states (B8)."""
    past_samples: Count = 600
    """Samples of the calibration slice that combinations are fitted on, evenly over authors."""
    test_samples: Count = 600
    """Test samples, evenly over authors."""
    sample_tokens: Count = 384
    """Scored tokens read of one sample: windows beyond are left out, for every model alike."""
    loss_tokens: Count = 6_000
    """Dev tokens of each author in the loss matrix, the newest."""
    drift_commits: Count = 200
    """Commits each of dev, calibration, the team's test and the foreign test that drift is measured on."""
    commit_tokens: Count = 1_200
    """Scored tokens read of one commit when drift is measured."""
    least_commit_tokens: Count = 60
    """Smaller commits are not scored, on either side."""
    least_hunk_tokens: Count = 30
    """The same for one file of a commit."""
    unseen_authors: Annotated[int, Field(ge=0)] = 3
    """Authors left out in turn, those with most test samples; each costs another team adapter."""
    skip: tuple[Part, ...] = ()
    """Parts left out, to save their time; the result says which."""
    probe_samples: Count = 120
    """Samples of the calibration slice on which the halves' adapters are compared."""
    ablated_hunks: Count = 60
    """Test hunks from which cited routes are taken away."""
    n_draws: Count = 500
    """Bootstrap draws."""
    seed: int = 0
    """What random caps choose, and how the halves are dealt."""
    adapter_seed: int = 0
    """Order of every adapter's training data, and how authors are shuffled for the nulls. The texts that are
    judged stay the same, so that runs with different ones say what a figure owes to it."""

    @classmethod
    def fast(cls) -> EvaluationConfig:
        """At most 40 minutes on two cores: 30k tokens an author, one null set, smaller caps."""
        return cls(
            tokens=30_000,
            n_null_sets=1,
            past_samples=200,
            fisher_samples=80,
            hidden_samples=60,
            test_samples=200,
            drift_commits=40,
            commit_tokens=1_000,
            loss_tokens=3_000,
            unseen_authors=1,
            ablated_hunks=20,
            skip=("splits", "halves", "changes"),
        )

    def with_test_share(self, share: float) -> EvaluationConfig:
        """The same with another share of commits after the cut; what is before keeps its proportions."""
        train, dev, calibration, test = self.slices
        scale = (1 - share) / (1 - test)
        slices = (train * scale, dev * scale, calibration * scale, share)
        return self.model_copy(update={"slices": slices})

    @property
    def setting(self) -> dict[str, Setting]:
        """Every dial as a result keeps it: several values joined by commas."""
        plain = self.model_dump(mode="json")
        return {
            key: ", ".join(map(str, value)) if isinstance(value, list) else value
            for key, value in plain.items()
        }

    @property
    def enrolment(self) -> EnrolmentRule:
        """The least material of an author."""
        return EnrolmentRule(
            self.least_samples, self.least_commits, self.least_test_samples, self.most_authors
        )

    def profile(self, base: str, revision: str | None) -> ProfileConfig:
        """The dials of the profile that is evaluated."""
        tokens, seed = self.tokens, self.adapter_seed
        adapter = AdapterConfig(author_tokens=tokens, team_tokens=2 * tokens, seed=seed)
        # a budget below the usual least is a deliberately small run
        least = {
            "least_team_tokens": adapter.least_team_tokens,
            "least_author_tokens": adapter.least_author_tokens,
        }
        adapter = adapter.model_copy(update={name: min(n, tokens) for name, n in least.items()})
        drift = DriftConfig(
            slices=self.slices, commit_tokens=self.commit_tokens, least_tokens=self.least_commit_tokens
        )
        return ProfileConfig(
            base=base,
            revision=revision,
            adapter=adapter,
            drift=drift,
            n_null_sets=self.n_null_sets,
            null_authors=self.null_authors,
        )


def departures(setting: Mapping[str, Setting]) -> tuple[str, dict[str, Setting]]:
    """What a result's setting starts from, the preset nearest to it, and the dials that differ.

    A dial that the result does not know is left out: it was made before there was one.
    """
    presets = {"default": EvaluationConfig(), "--fast": EvaluationConfig.fast()}
    differing = {
        name: {
            dial: setting[dial]
            for dial, value in preset.setting.items()
            if dial in setting and setting[dial] != value
        }
        for name, preset in presets.items()
    }
    nearest = min(differing, key=lambda name: len(differing[name]))
    return nearest, differing[nearest]
