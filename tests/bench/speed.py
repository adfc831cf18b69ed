"""The speed figures, measured on a repository: ``make bench REPO=path``.

Ingest: our time over the time git takes to print the same patches to nowhere, in pairs, and the peak
memory on a quarter of the history beside the peak on all of it. Review: a 400-line diff, cut from the
newest commits, against the profile in ROUTEPRINT_HOME, when there is one.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from connectors.diff import parse_diff
from connectors.git.command import DIFF_OPTIONS

if TYPE_CHECKING:
    from fingerprint.report import DriftReport
    from service.flows.review import Reviewer

N_PAIRS = 3
N_REVIEWS = 3
REVIEW_LINES = 400
_INGEST = """
import resource, sys, time
from pathlib import Path
from service.flows.ingest import ingest
from service.settings import read_settings
start = time.perf_counter()
ingest(Path(sys.argv[1]), read_settings(home=Path(sys.argv[2])))
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def git(repository: Path, *words: str) -> str:
    """What git prints, as text."""
    done = subprocess.run(["git", "-C", str(repository), *words], check=True, capture_output=True)
    return done.stdout.decode(errors="replace")


def time_git(repository: Path) -> float:
    """Seconds git takes to print every patch of the history to nowhere."""
    start = time.perf_counter()
    words = ["git", "-C", str(repository), "log", *DIFF_OPTIONS, "HEAD"]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def time_ingest(repository: Path) -> tuple[float, float]:
    """Seconds and peak MiB of a first ingest in a process of its own."""
    with tempfile.TemporaryDirectory() as home:
        words = [sys.executable, "-c", _INGEST, str(repository), home]
        done = subprocess.run(words, check=True, capture_output=True, text=True)
    seconds, megabytes = done.stdout.split()[-2:]
    return float(seconds), float(megabytes)


def older_copy(repository: Path, place: Path, share: float) -> Path:
    """A clone without files whose history ends after the oldest ``share`` of the commits."""
    commits = git(repository, "rev-list", "--first-parent", "--reverse", "HEAD").split()
    git(repository, "clone", "--quiet", "--bare", "--shared", str(repository), str(place))
    git(place, "update-ref", "--no-deref", "HEAD", commits[int(share * (len(commits) - 1))])
    return place


def recent_diff(repository: Path, n_lines: int) -> str:
    """The newest commits' patches in code files, together at least ``n_lines`` added lines."""
    patterns = ["*.py", "*.ts", "*.tsx", "*.js", "*.go", "*.rs"]
    log = git(repository, "log", "--no-merges", "-n", "400", "--format=%x00", *DIFF_OPTIONS, "--", *patterns)
    taken, seen, total = [], set[str](), 0
    for text in log.split("\0"):
        patches = parse_diff(text.strip("\n") + "\n") if text.strip() else ()
        if seen & {patch.path for patch in patches}:
            continue
        seen |= {patch.path for patch in patches}
        taken.append(text.strip("\n"))
        total += sum(len(hunk.added) for patch in patches for hunk in patch.hunks)
        if total >= n_lines:
            break
    return "\n".join(taken) + "\n"


def bench_ingest(repository: Path, table: Table) -> None:
    """Ingest beside git, in alternating pairs, and memory beside a quarter of the history."""
    time_git(repository)  # both sides then find the pack in the page cache
    pairs = [(time_git(repository), time_ingest(repository)) for _ in range(N_PAIRS)]
    table.add_row("git log -p -M to nowhere", f"{statistics.median(g for g, _ in pairs):.2f} s")
    table.add_row("ingest", f"{statistics.median(i[0] for _, i in pairs):.2f} s")
    table.add_row("ingest over git", f"{statistics.median(i[0] / g for g, i in pairs):.2f} x")
    with tempfile.TemporaryDirectory() as folder:
        _, quarter = time_ingest(older_copy(repository, Path(folder, "older.git"), 0.25))
    table.add_row("peak memory, oldest quarter | all", f"{quarter:.0f} | {pairs[0][1][1]:.0f} MiB")


def without_explanations(reviewer: Reviewer) -> Reviewer:
    """The same reviewer, asked for the verdict and the ranking of hunks alone."""
    config = reviewer.profile.config
    drift = config.drift.model_copy(update={"explained_hunks": 0})
    brief = replace(reviewer.profile, config=config.model_copy(update={"drift": drift}))
    return replace(reviewer, profile=brief)


def bench_review(repository: Path, table: Table) -> None:
    """A review of a 400-line diff by a loaded model."""
    from service.flows.profile import NotProfiledError
    from service.flows.review import load_reviewer
    from service.settings import read_settings

    try:
        reviewer = load_reviewer(repository, read_settings())
    except NotProfiledError as error:
        table.add_row("review", str(error))
        return
    diff = recent_diff(repository, REVIEW_LINES)
    brief = without_explanations(reviewer)
    for name, timed in (("verdict", brief), ("verdict and top five hunks", reviewer)):
        report, seconds = time_review(timed, diff)
        table.add_row(f"{name}, {report.n_lines} lines, {report.n_tokens} tokens", f"{seconds:.2f} s")


def time_review(reviewer: Reviewer, diff: str) -> tuple[DriftReport, float]:
    """The answer and the median seconds of N_REVIEWS reviews."""
    reports, times = [], []
    for _ in range(N_REVIEWS):
        start = time.perf_counter()
        reports.append(reviewer.review(diff))
        times.append(time.perf_counter() - start)
    return reports[-1], statistics.median(times)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("repository", type=Path)
    repository = parser.parse_args().repository.resolve()
    table = Table(
        "what", "measured", title=f"{repository.name}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    bench_ingest(repository, table)
    bench_review(repository, table)
    Console().print(table)


if __name__ == "__main__":
    main()
