"""One check run for one score: opened at once, finished later, never left hanging.

GitHub's PATCH appends annotations, so it may not be repeated blindly; and a score anew gets a new run, for
a run's annotations cannot be taken back. https://docs.github.com/rest/checks/runs
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from connectors.github.asks import Button
from connectors.github.client import Client
from connectors.github.payload import Json, number, part, text

CHECK_NAME = "routeprint"
# The schema's own limits: https://docs.github.com/rest/checks/runs#update-a-check-run
MAX_TEXT_BYTES = 65_535
MAX_ANNOTATIONS = 50  # a request
MAX_MESSAGE_BYTES = 60_000  # of 64 KB
MAX_TITLE = 250


class Conclusion(StrEnum):
    """How a check ends. What was not scored is NEUTRAL or SKIPPED, never SUCCESS."""

    SUCCESS = "success"
    FAILURE = "failure"
    NEUTRAL = "neutral"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Annotation:
    """A note on lines of a file. Plain text: GitHub renders no markup in it."""

    path: str
    start_line: int
    end_line: int
    title: str
    message: str


@dataclass(frozen=True, slots=True)
class Action:
    """A button on the check. label: at most 20 characters; description: at most 40."""

    button: Button
    label: str
    description: str


@dataclass(frozen=True, slots=True)
class CheckOutput:
    """What a finished check shows. summary and text are Markdown of at most ``MAX_TEXT_BYTES``."""

    conclusion: Conclusion
    title: str
    summary: str
    text: str = ""
    annotations: tuple[Annotation, ...] = ()
    actions: tuple[Action, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckRun:
    """A check run as GitHub knows it."""

    id: int
    status: str
    conclusion: str
    external_id: str
    n_annotations: int
    started_at: datetime | None
    title: str = ""

    @property
    def is_completed(self) -> bool:
        """Whether it has ended."""
        return self.status == "completed"


def start_check(
    client: Client, repository: str, head_sha: str, external_id: str, *, title: str,
    details_url: str | None = None, name: str = CHECK_NAME,
) -> CheckRun:  # fmt: skip
    """Open a check run, or find the one that an earlier attempt opened.

    Args:
        external_id: ours, different for every score of a commit.
        title: what is shown while it runs.
    """
    body: dict[str, Any] = {
        "name": name, "head_sha": head_sha, "status": "in_progress", "external_id": external_id,
        "started_at": _now(), "output": {"title": title, "summary": title},
    }  # fmt: skip
    body |= {"details_url": details_url} if details_url else {}

    def find() -> Json | None:
        path = f"/repos/{repository}/commits/{head_sha}/check-runs"
        found = client.pages(path, "check_runs", check_name=name, filter="all")
        return next((run for run in found if text(run, "external_id") == external_id), None)

    found = find()  # whoever opened it may have died before writing its number down
    return _run(found or client.create(f"/repos/{repository}/check-runs", body, find=find))


def read_check(client: Client, repository: str, run: int) -> CheckRun:
    """A check run. Raises GoneError if there is none."""
    return _run(client.get(f"/repos/{repository}/check-runs/{run}").json)


def complete_check(client: Client, repository: str, run: int, output: CheckOutput) -> CheckRun:
    """Finish a check run; done again after a failure, it goes on where it stopped.

    Annotations go in batches in their order, so the number that GitHub holds says what is left.
    """
    known = read_check(client, repository, run)
    shown = {"title": output.title[:MAX_TITLE], "summary": output.summary}
    sent = known.n_annotations
    while len(output.annotations) - sent > MAX_ANNOTATIONS:
        batch = output.annotations[sent : sent + MAX_ANNOTATIONS]
        sent += len(batch)
        body = {"status": "in_progress", "output": {**shown, "annotations": _annotations(batch)}}
        known = _append(client, repository, run, body, sent)
    says_so = (known.conclusion, known.title) == (output.conclusion.value, shown["title"])
    if known.is_completed and says_so and sent >= len(output.annotations):
        return known
    last = output.annotations[sent:]
    whole = {**shown, **({"text": output.text} if output.text else {})}
    body = {
        "status": "completed", "conclusion": output.conclusion.value, "completed_at": _now(),
        "output": {**whole, **({"annotations": _annotations(last)} if last else {})},
        "actions": [_action(action) for action in output.actions],
    }  # fmt: skip
    return _append(client, repository, run, body, len(output.annotations) if last else None)


def _append(
    client: Client, repository: str, run: int, body: Mapping[str, Any], expected: int | None
) -> CheckRun:
    """A PATCH that may have been carried out though no answer came. expected: annotations after it."""
    path = f"/repos/{repository}/check-runs/{run}"
    if expected is None:
        return _run(client.patch(path, body).json)

    def find() -> Json | None:
        found = client.get(path).json
        return found if _run(found).n_annotations >= expected else None

    return _run(client.create(path, body, find=find, verb="PATCH"))


def release_check(client: Client, repository: str, run: int, output: CheckOutput) -> bool:
    """Finish a check run that nobody finished; one that has ended by itself is let be.

    Returns:
        Whether it was still open.
    """
    if read_check(client, repository, run).is_completed:
        return False
    complete_check(client, repository, run, output)
    return True


def answer_at_once(
    client: Client, repository: str, head_sha: str, external_id: str, output: CheckOutput, *,
    name: str = CHECK_NAME,
) -> CheckRun:  # fmt: skip
    """Open and finish a check run: for a merge queue's commit, or a draft."""
    run = start_check(client, repository, head_sha, external_id, title=output.title, name=name)
    return complete_check(client, repository, run.id, output)


def _annotations(items: Sequence[Annotation]) -> list[dict[str, Any]]:
    return [
        {"path": item.path, "start_line": item.start_line, "end_line": item.end_line, "title": item.title,
         "annotation_level": "notice", "message": item.message}
        for item in items
    ]  # fmt: skip


def _action(action: Action) -> dict[str, str]:
    return {"label": action.label, "description": action.description, "identifier": action.button.value}


def _run(value: Any) -> CheckRun:
    started = text(value, "started_at")
    return CheckRun(
        number(value, "id"), text(value, "status"), text(value, "conclusion"), text(value, "external_id"),
        number(part(value, "output"), "annotations_count"),
        datetime.fromisoformat(started.replace("Z", "+00:00")) if started else None,
        text(part(value, "output"), "title"),
    )  # fmt: skip


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
