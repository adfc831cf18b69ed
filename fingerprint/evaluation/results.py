"""What an evaluation found: frozen, serialisable, torch-free. Losses and scores are nats per scored token."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from fingerprint.storage import FrozenModel

FORMAT = 2
Setting = float | int | str | bool | None
"""What a result keeps of a dial."""


class _Result(FrozenModel):
    model_config = ConfigDict(ser_json_inf_nan="null")


class Figure(_Result):
    """A figure with its 95 % interval by whole-commit bootstrap; None where it is undefined."""

    value: float | None
    low: float | None = None
    high: float | None = None


class AuthorRow(_Result):
    """One author's standing; ``reason`` says why they take no part, "" for those who do."""

    author: str
    samples_before: int
    commits_before: int
    test_samples: int
    test_commits: int
    reason: str = ""


class AdapterRow(_Result):
    """One adapter and its losses on its own author's dev code (the team's: on everyone's).

    Attributes:
        kind: "team", "author" or "null". name: author key, "team", "reference" (the
            whole team's code at an author's budget), or what the null was trained on.
        scored_tokens: targets seen in training, with repetition; text_tokens: distinct ones.
        improved: whether any step beat the start on dev; if not, the start was kept.
        base_loss, team_loss, own_loss: dev loss of base, team and this adapter; None where not measured.
    """

    kind: str
    name: str
    scored_tokens: int
    text_tokens: int
    epochs: float
    steps: int
    improved: bool
    base_loss: float | None
    team_loss: float | None
    own_loss: float | None


class LossMatrix(_Result):
    """Dev loss of every state (base, team, reference, authors) on every author's code (columns)."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]
    n_diagonal_least: int
    """Authors whose own adapter has the least loss on their code among the authors' adapters."""


class SystemRow(_Result):
    """Closed-set attribution by one system. unit: "hunk" (a file of a commit), "commit" or "ten commits"."""

    system: str
    unit: str
    n: int
    n_authors: int
    auroc: Figure
    balanced: Figure
    top3: float | None
    eer: float | None


class EvidenceRow(_Result):
    """What a system's scores are worth as evidence; calibrated on the past slice, judged on test.

    Attributes:
        auroc, eer: verification (T2), over every claim "this author wrote this text", one threshold for all.
        cllr: bits a claim; 1 says nothing, more misleads. min_cllr: at best recalibrated.
        calibration_error: ECE of the likeliest author's probability, over 15 bins of equal mass.
        confidence, accuracy: means of that probability and of its being right.
        answered: share of texts above the past slice's best threshold; c_at_1: accuracy with abstention.
    """

    system: str
    unit: str
    n: int
    auroc: Figure
    eer: float | None
    cllr: float | None
    min_cllr: float | None
    calibration_error: float | None
    confidence: float | None
    accuracy: float | None
    answered: float | None
    c_at_1: float | None


class ReplicationRow(_Result):
    """Whether half A of an author's commits finds half B of the same author's among all.

    Attributes:
        reading: what is compared. labels: "true", or "shuffled" over commits.
        auroc: chance that an author's own halves are more alike than two authors'. top1: share of halves A
            whose nearest half B is the author's; 1 / n_authors is chance. icc: median ICC(1) over sites.
        p_value: of the area, by dealing halves B to other authors; None in results kept before it was taken.
    """

    reading: str
    labels: str
    n_authors: int
    auroc: float
    top1: float
    icc: float | None
    p_value: float | None = None


class ContrastRow(_Result):
    """Paired difference of two systems' macro AUROC on the same texts: first minus second."""

    first: str
    second: str
    unit: str
    auroc: Figure


class BaseRow(_Result):
    """One base of a size/loss curve.

    Attributes:
        n_parameters: of the base. dev_loss: nats a token of the plain base on the authors' dev code, mean
            over authors. heldout_bits: bits a byte on held-out packages; None where they were not given.
        n_improved: authors whose adapter beats the plain base on their own dev code.
        systems: closed-set attribution of the same hunks by every system. contrasts: paired differences of
            its systems, and of some to the same under the first base.
    """

    base: str
    n_parameters: int
    dev_loss: float
    heldout_bits: float | None
    n_improved: int
    n_authors: int
    systems: tuple[SystemRow, ...]
    contrasts: tuple[ContrastRow, ...]


class BaseCurve(_Result):
    """How one repository's attribution moves with the base; every base scored the same hunks."""

    repository: str
    tokens: int
    rows: tuple[BaseRow, ...]


class AgentRepository(_Result):
    """Agents told from people in one repository by what other repositories teach (``evaluation.agents``).

    Attributes:
        donors: the repositories that taught. n_by_agent: hunks by declared agent.
    """

    repository: str
    donors: tuple[str, ...]
    n_by_agent: dict[str, int]
    rows: tuple[DetectionRow, ...]


class AgentTransfer(_Result):
    """Agents told from people across repositories: each, their mean, and paired differences of means."""

    repositories: tuple[AgentRepository, ...]
    mean: tuple[DetectionRow, ...]
    contrasts: tuple[ContrastRow, ...]
    notes: tuple[str, ...]


class TransferRow(_Result):
    """One repository by a back-end that never saw it. minus: paired differences to other systems, by name."""

    repository: str
    system: str
    unit: str
    n: int
    auroc: Figure
    minus: dict[str, Figure]


class AnchorRow(_Result):
    """The n-gram classifier (B1) under one split and view, the reference for what a split measures.

    Attributes:
        split: S1 to S4 of evaluation.md. view: "raw", or what was taken away. same_directory: concordance of
            pairs of authors on hunks of one directory (S6); by hunk only.
    """

    split: str
    view: str
    unit: str
    n: int
    n_authors: int
    auroc: Figure
    balanced: Figure
    same_directory: float | None


class DetectionRow(_Result):
    """Telling strangers' texts from the team's own later ones.

    Attributes:
        against: who the strangers are. unit: "commit", "hunk" (one file of one commit) or "ten commits" (a
            bag of one author's).
        auroc: chance that a stranger's text looks more foreign. matched: the same among texts within a factor
            of two in size, no part of which size can explain; None where it was not measured. tpr_at_1,
            tpr_at_5: strangers' texts found at so many per cent of the team's own flagged, thresholds taken
            on the test texts themselves.
    """

    system: str
    against: str
    unit: str
    n_team: int
    n_strangers: int
    auroc: Figure
    matched: Figure | None = None
    tpr_at_1: float | None
    tpr_at_5: float | None


class SequenceRow(_Result):
    """Anytime-valid evidence over runs of one author's commits (``fingerprint.evaluation.sequences``).

    Attributes:
        who: whose commits. part: of the score. against: the reference the commits are held against.
        length: commits of a stream. found: share of streams whose p-value has reached .05 by their end, with
            its exact interval over streams; found_by_5, found_by_10: by their fifth, tenth commit.
        median_delay: commits until then; None when fewer than half of the streams are found.
    """

    who: str
    part: str
    against: str
    n_streams: int
    n_authors: int
    length: int
    found: Figure
    found_by_5: float
    found_by_10: float
    median_delay: float | None


class ChangeRow(_Result):
    """One alarm rule at one known change of convention; a rename should raise no alarm.

    Attributes:
        n_reference, n_before, n_after: commits of the reference, and of the stream on either side.
        delay: commits from the change to the first alarm, None without one. n_false: alarms before it.
    """

    day: str
    what: str
    kind: str
    rule: str
    n_reference: int
    n_before: int
    n_after: int
    delay: int | None
    n_false: int


class AblationRow(_Result):
    """What taking the cited routes away does, against random alive routes of like energy.

    Attributes:
        n_routes: taken away at once. n: hunks. ratio: mean |change of Lambda| over that by random routes.
        agreement: share of hunks whose Lambda moves as the contributions say.
    """

    n_routes: int
    n: int
    ratio: Figure
    agreement: float


class FlaggedRow(_Result):
    """Share of commits with a conformal p-value at or below the level, with its exact interval."""

    who: str
    level: float
    n_flagged: int
    n: int
    share: float | None
    low: float
    high: float


class Evaluation(_Result):
    """One repository's evaluation.

    Attributes:
        setting: every dial and cap. history: commits, hunks, cut dates and slice sizes.
        notes: sentences on what was left out or could not be done.
        seconds: wall time by phase.
    """

    format: int = FORMAT
    repository: str
    foreign: str | None
    setting: dict[str, Setting]
    history: dict[str, float | int | str | None]
    authors: tuple[AuthorRow, ...]
    adapters: tuple[AdapterRow, ...] = ()
    losses: LossMatrix | None = None
    anchors: tuple[AnchorRow, ...] = ()
    attribution: tuple[SystemRow, ...] = ()
    refitted: tuple[SystemRow, ...] = ()
    contrasts: tuple[ContrastRow, ...] = ()
    evidence: tuple[EvidenceRow, ...] = ()
    replication: tuple[ReplicationRow, ...] = ()
    null_attribution: tuple[SystemRow, ...] = ()
    detection: tuple[DetectionRow, ...] = ()
    flagged: tuple[FlaggedRow, ...] = ()
    sequences: tuple[SequenceRow, ...] = ()
    ablation: tuple[AblationRow, ...] = ()
    changes: tuple[ChangeRow, ...] = ()
    drift: dict[str, float | int | str | None] = Field(default={})
    provenance: dict[str, str] = Field(default={})
    notes: tuple[str, ...] = ()
    seconds: dict[str, float] = Field(default={})
