"""Workers do each job once, whatever happens to them."""

from __future__ import annotations

from service.artifacts import ArtifactStore
from service.db.queries.jobs import list_lines
from service.db.states import JobStatus, ReviewStatus
from service.jobs.review import read_report
from tests.service.jobs.conftest import Scene


def test_a_review_from_the_question_to_the_comment(scene: Scene):
    scene.fleet.start()
    asked = scene.ask(7, "h1")
    scene.finish(asked.job_id)
    job, review = scene.job(asked.job_id), scene.review(asked)
    assert (job.status, job.attempt, job.error) == (JobStatus.DONE, 1, "")
    assert (review.status, review.verdict, review.conclusion) == (ReviewStatus.DONE, "not-scored", "neutral")
    assert read_report(ArtifactStore(scene.settings.home), review.report).reason == "a stand-in has seen h1"
    assert [check["title"] for check in scene.world.all("checks")] == ["a stand-in has seen h1"]
    assert len(scene.world.all("comments")) == 1
    assert not any((scene.settings.home / "artifacts" / "diff").glob("*")), "no code is left behind"
    with scene.database.reading() as session:
        told = [line.text.split(":")[0] for line in list_lines(session, job.id)]
    assert told == [f"attempt 1 on {job.executor}", "read", "diff", "score", "publish", "done"]
