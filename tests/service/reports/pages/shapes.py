"""Pages' nouns in the shapes that real runs give them, small, and with hostile text in every field."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime

from connectors.contribution import FilePatch
from connectors.diff import parse_diff
from fingerprint.report import (
    DriftReport,
    Evidence,
    Finding,
    Guess,
    HunkDrift,
    LineDrift,
    RouteShare,
    ScorePart,
    TeamLine,
    TokenShare,
    TokenShift,
    Verdict,
)
from service.reports.pages.review import Review, ScoreBand

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'`{{7*7}} \u202egnp.exe \x1b[31m"
WHEN = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)
MATRICES = ("q_proj", "k_proj", "v_proj", "o_proj")
SITES = tuple(f"model.layers.{layer}.self_attn.{matrix}" for layer in range(5) for matrix in MATRICES)

DIFF = """diff --git a/app/errors.py b/app/errors.py
--- a/app/errors.py
+++ b/app/errors.py
@@ -10,6 +10,9 @@ def fail(path):
     a = 1
-    if x == None:
-        return
+    # Check whether there is anything to read at all
+    if x is None:
+        raise ValueError("nothing at %s" % path)
+    error = read(path)
+    print("read", error)
     return a

     # the end
diff --git a/app/ok.py b/app/ok.py
new file mode 100644
--- /dev/null
+++ b/app/ok.py
@@ -0,0 +1,3 @@
+def load(path):
+    with path.open() as stream:
+        return stream.read()
diff --git a/uv.lock b/uv.lock
--- a/uv.lock
+++ b/uv.lock
@@ -1 +1 @@
-a = 1
+a = 2
"""


def evidence() -> Evidence:
    return Evidence(
        p_value=2 / 62, n_calibration=61, cell="all", log_ratio_per_token=-0.31,
        typical_log_ratio_per_token=0.42, distance=5.2, typical_distance=2.9, combination="low-and-far",
        score=3.4, threshold=3.1, null_p_value=0.48, gap_nats=0.011, gap_bound_nats=0.9, context_share=0.22,
        position0_share=0.04, realised_false_alarms=0.06, n_held_out=16,
        parts=(ScorePart(name="routes", score=3.71, share=0.77, p_value=0.033),
               ScorePart(name="n-grams", score=1.1, share=0.23, p_value=0.16)),
    )  # fmt: skip


def bands() -> tuple[ScoreBand, ...]:
    draw = random.Random(0)
    values = {"score": (3.4, 3.1), "routes": (3.71, 2.9), "n-grams": (1.1, 2.4)}
    return tuple(
        ScoreBand(name, value, tuple(round(draw.gauss(0, 1.2), 3) for _ in range(61)), threshold)
        for name, (value, threshold) in values.items()
    )


def finding(
    text: str = "error", line: int = 14, column: int = 4, quote: str = "config = load_config(path)"
) -> Finding:
    shift = TokenShift(
        line=line, column=column, text=text, probability=0.041, base_probability=0.09, log_ratio=-0.79,
        expected=(Guess(text="config", probability=0.26), Guess(text="self", probability=0.1)),
        base_expected=(Guess(text="self", probability=0.2), Guess(text="    \n", probability=0.11)),
    )  # fmt: skip
    lines = (
        TeamLine(text=f"    {quote}", path="app/main.py"),
        TeamLine(text="config = defaults()", path="app/cli.py"),
    )
    return Finding(shift=shift, team_lines=lines)


def report() -> DriftReport:
    draw = random.Random(1)
    shares = tuple(RouteShare(site=site, route=None, nats=draw.gauss(-1.5, 2)) for site in SITES)
    shares += (RouteShare(site="context", route=None, nats=1.2, is_context=True),)
    first = HunkDrift(
        path="app/errors.py", header="def fail(path):", first_line=10, n_tokens=52, percentile=0.97,
        log_ratio=sum(share.nats for share in shares) - 0.004, gap_nats=0.004, gap_bound_nats=0.24,
        shares=shares, routes=tuple(RouteShare(site=SITES[n], route=n, nats=-3.0 + n) for n in (0, 1)),
        tokens=(TokenShare(line=11, text=" Check", nats=-6.5), TokenShare(line=14, text=" error", nats=-2.0)),
        findings=(finding(), finding("raise", 13, 8, "raise SystemExit(code)")),
        lines=tuple(
            LineDrift(line=line, n_tokens=n, log_ratio=nats)
            for line, n, nats in ((11, 11, -11.4), (12, 6, 1.2), (13, 12, -3.1), (14, 6, -6.1), (15, 7, -0.2))
        ),
    )  # fmt: skip
    second = HunkDrift(
        path="app/ok.py", header="", first_line=1, n_tokens=30, log_ratio=3.0, percentile=0.2,
        lines=(LineDrift(line=1, n_tokens=9, log_ratio=2.2), LineDrift(line=2, n_tokens=21, log_ratio=0.8)),
    )  # fmt: skip
    return DriftReport(
        verdict=Verdict.UNUSUAL, evidence=evidence(), hunks=(first, second), n_tokens=82, n_lines=8,
        dropped={"lockfile": 1}, signature="ab" * 32,
        provenance={"base": "starter", "revision": "37" * 32, "code": "0.1.0", "seed": "0"},
        warnings=("Only 61 calibration commits: no p-value below .016 is possible.",),
    )  # fmt: skip


def patches(diff: str = DIFF) -> tuple[FilePatch, ...]:
    return parse_diff(diff)


def review() -> Review:
    return Review(
        report(), patches(), "sample", "main..HEAD",
        "routeprint score --repo . --range main..HEAD --format html --out page.html", bands(), WHEN,
    )  # fmt: skip


def not_scored() -> Review:
    answer = DriftReport(
        verdict=Verdict.NOT_SCORED, reason="too little text: 12 scored tokens, 60 are needed", n_lines=2
    )
    return Review(answer, patches(), "sample", "main..HEAD", "routeprint score --range main..HEAD", (), WHEN)


def hostile_review() -> Review:
    text = HOSTILE.replace("\n", " ")
    evil = finding(HOSTILE, 14, 4, HOSTILE)
    hunk = report().hunks[0].model_copy(update={"path": f"a/{text}.py", "header": text, "findings": (evil,)})
    answer = report().model_copy(
        update={"hunks": (hunk,), "warnings": (text,), "dropped": {text: 2}, "provenance": {text: text}}
    )
    changed = patches()[0].hunks[0]
    body = tuple(f"+{text}" if line.startswith("+") else line for line in changed.lines)
    hostile = replace(changed, section=text, lines=body)
    named = replace(patches()[0], path=f"a/{text}.py", old_path=f"a/{text}.py", hunks=(hostile,))
    return Review(answer, (named,), text, text, f"routeprint score --diff '{text}'", bands(), WHEN)
