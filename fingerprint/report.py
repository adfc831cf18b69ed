"""The answer to one diff: serialisable, renderable without torch."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from fingerprint.storage import FrozenModel

FORMAT = 1


class Verdict(StrEnum):
    """What the answer says of the whole diff. NOT_SCORED is never shown as zero or green."""

    TYPICAL = "typical"
    UNUSUAL = "unusual"
    NOT_SCORED = "not-scored"


class Guess(FrozenModel):
    """A continuation and its probability."""

    text: str
    probability: float


class TokenShift(FrozenModel):
    """One place where team and diff part.

    Attributes:
        line: line number in the new file.
        column: 0-based character column of the token in that line.
        text: what the diff has (the whole word the token begins or belongs to).
        probability: the team's model's probability of the diff's token.
        base_probability: the base's probability of it: the control.
        expected: the team's model's top guesses, best first.
        base_expected: the base's top guesses.
        log_ratio: log p_team - log p_base of the diff's token, nats.
    """

    line: int
    column: int
    text: str
    probability: float
    base_probability: float
    expected: tuple[Guess, ...]
    base_expected: tuple[Guess, ...]
    log_ratio: float


class TeamLine(FrozenModel):
    """A line the team wrote in a place like this one."""

    text: str
    path: str


class Finding(FrozenModel):
    """A token shift told in the team's own idiom."""

    shift: TokenShift
    team_lines: tuple[TeamLine, ...]


class RouteShare(FrozenModel):
    """What one site (or route, when ``route`` is not None) adds to the hunk's log-ratio, in nats."""

    site: str
    route: int | None
    nats: float
    is_context: bool = False


class TokenShare(FrozenModel):
    """Log-ratio of one scored token of the diff, in nats. text: the token with its spaces."""

    line: int
    text: str
    nats: float


class LineDrift(FrozenModel):
    """Summed log-ratio of one added line: it colours the diff."""

    line: int
    n_tokens: int
    log_ratio: float


class HunkDrift(FrozenModel):
    """One hunk of the diff.

    Attributes:
        path: file path; header: the hunk's section or ""; first_line: first line in the new file.
        n_tokens: scored tokens.
        log_ratio: log p_team - log p_base over the scored tokens, nats.
        base_log_prob: log p_base of them: the control; None in reports of before it was kept.
        percentile: share of calibration commits that drift less than this hunk, in [0, 1]; the
            hunk has no verdict of its own.
        lines: per added line. findings, shares, routes, tokens: filled for the hunks that were explained.
        shares: by site, all of them. routes: single ones, the largest. tokens: scored ones, the largest; all
            of them add up to log_ratio.
        gap_nats: sum of shares minus log_ratio, or None when not explained.
        gap_bound_nats: the stated bound for it.
    """

    path: str
    header: str
    first_line: int
    n_tokens: int
    log_ratio: float
    percentile: float
    base_log_prob: float | None = None
    lines: tuple[LineDrift, ...] = ()
    findings: tuple[Finding, ...] = ()
    shares: tuple[RouteShare, ...] = ()
    routes: tuple[RouteShare, ...] = ()
    tokens: tuple[TokenShare, ...] = ()
    gap_nats: float | None = None
    gap_bound_nats: float | None = None


class ScorePart(FrozenModel):
    """What one part of the score says alone.

    Attributes:
        name: "routes" or "n-grams". score: in the team's own standard deviations, larger is farther.
        share: |score| over the sum of both parts' |score|. p_value: split-conformal, of this part alone.
    """

    name: str
    score: float
    share: float
    p_value: float


class Evidence(FrozenModel):
    """The numbers behind a verdict, each with its control and null.

    Attributes:
        p_value: split-conformal p-value of the whole diff.
        n_calibration: calibration commits behind it.
        cell: the calibration cell used, such as "python" or "all".
        log_ratio_per_token: Lambda_team per scored token, nats; typical: its mean on dev.
        distance: shrunk Mahalanobis distance of phi; typical_distance: its median on dev.
        combination: the rule that joins the two into the routes' score, chosen on the team's dev commits.
        parts: the routes, and with the fused view the n-grams: their scores add up to the score times
            the root of their number.
        score: the nonconformity score; threshold: calibration score at the alarm level.
        null_p_value: the same diff scored with the null team adapter, or None without one.
        gap_nats, gap_bound_nats: completeness of the route contributions over the whole diff.
        context_share: share of the sum of |c| on context tokens; position0_share: on the first token.
        realised_false_alarms: flagged share of the team's held-out commits at the alarm level.
    """

    p_value: float
    n_calibration: int
    cell: str
    log_ratio_per_token: float
    typical_log_ratio_per_token: float
    distance: float
    typical_distance: float
    combination: str
    parts: tuple[ScorePart, ...] = ()
    score: float
    threshold: float
    null_p_value: float | None
    gap_nats: float
    gap_bound_nats: float
    context_share: float
    position0_share: float
    realised_false_alarms: float | None
    n_held_out: int


class DriftReport(FrozenModel):
    """The answer to one diff.

    Attributes:
        verdict: typical, unusual or not-scored; reason: why not scored, else "".
        evidence: None exactly when not scored.
        hunks: ranked, most drifting first (empty when not scored).
        n_tokens: scored tokens; n_lines: added lines read; dropped: added lines left out, by reason.
        signature: digest of the team signature, or "" when there is none.
        provenance: flat facts for reproduction (base, revision, routes, corpus, code).
        warnings: caveats the reader must see, in full sentences.
    """

    format: int = FORMAT
    verdict: Verdict
    reason: str = ""
    evidence: Evidence | None = None
    hunks: tuple[HunkDrift, ...] = ()
    n_tokens: int = 0
    n_lines: int = 0
    dropped: dict[str, int] = Field(default={})
    signature: str = ""
    provenance: dict[str, str] = Field(default={})
    warnings: tuple[str, ...] = ()


class DiffFacts(FrozenModel):
    """What is known of a diff besides its passages; flows fill it, scoring puts it into the answer.

    Attributes:
        n_lines: added lines read; None: counted from the passages.
        n_deleted: deleted lines; n_renamed: files renamed without a change.
        dropped: added lines left out, by reason.
        unknown_languages: suffixes or names of files in languages that cannot be read.
    """

    n_lines: int | None = None
    n_deleted: int = 0
    n_renamed: int = 0
    dropped: dict[str, int] = Field(default={})
    unknown_languages: tuple[str, ...] = ()


class ShiftRow(FrozenModel):
    """One next token and its probability in every state, in the table's order of columns."""

    text: str
    probabilities: tuple[float, ...]


class ShiftTable(FrozenModel):
    """How the next-token distribution after a prompt differs between states (base, team, authors).

    Attributes:
        columns: names of the states.
        rows: the union of every state's likeliest tokens, by their largest probability.
        kl_nats: KL divergence of every state's distribution from the first state's.
    """

    prompt: str
    columns: tuple[str, ...]
    rows: tuple[ShiftRow, ...]
    kl_nats: tuple[float, ...]


class WordPlace(FrozenModel):
    """One place where an author wrote a word, and how likely each model finds it.

    Attributes:
        line: the whole line; column: 0-based, of the word's first character that is no space. path: file.
        base, reference, author: probabilities of the token by the base, everybody's adapter, the author's.
        base_guess, author_guess: what the base and the author's adapter find likeliest there; None in
            reports of before they were read.
    """

    line: str
    column: int
    path: str
    base: float
    reference: float
    author: float
    base_guess: Guess | None = None
    author_guess: Guess | None = None


class WordShift(FrozenModel):
    """A token that the author's adapter made likelier where the author writes it.

    Attributes:
        text: the token. n_first, n_second: occurrences in the two halves of the author's unseen commits.
        first_gain, second_gain: mean log p_author - log p_reference there, nats. The first half chose the
            word, so the second is the one to believe.
        null_gains: the same on the second half for adapters of shuffled authors.
        example: where the gain is largest in the second half.
    """

    text: str
    n_first: int
    n_second: int
    first_gain: float
    second_gain: float
    null_gains: tuple[float, ...]
    example: WordPlace


class Habits(FrozenModel):
    """Words of one author that come back.

    Attributes:
        words: chosen on the first half, above zero and above every null on the second; largest first.
        n_tested: words that stand often enough in both halves. n_chosen: of these, chosen on the first half.
        n_tokens: scored tokens read. correlation: of the tested words' gains in the two halves; None with
            fewer than three. null_correlations: the same for adapters of shuffled authors.
    """

    format: int = FORMAT
    words: tuple[WordShift, ...]
    n_tested: int
    n_chosen: int
    n_tokens: int
    correlation: float | None
    null_correlations: tuple[float, ...]


class SeedStability(FrozenModel):
    """How alike an author's learned differences are when their code is read in other orders.

    Attributes:
        n_seeds: adapters of the author. cosines: of every two of them. null_cosines: of each with every
            adapter of shuffled authors.
    """

    format: int = FORMAT
    n_seeds: int
    cosines: tuple[float, ...]
    null_cosines: tuple[float, ...]


class SiteSpectrum(FrozenModel):
    """Singular values of what an adapter adds to one matrix, largest first, beside null adapters'."""

    site: str
    values: tuple[float, ...]
    null_values: tuple[tuple[float, ...], ...] = ()
