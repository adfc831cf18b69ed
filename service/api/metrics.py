"""Prometheus metrics. No label names a person, a repository or code; every label has few values."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily

from service.api.intake import Outcome
from service.db.queries.tallies import count_all
from service.db.session import Database

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}
_EVENTS = {
    "pull_request", "push", "check_run", "check_suite", "merge_group", "issue_comment", "member",
    "pull_request_review_thread", "installation", "installation_repositories", "repository", "organization",
}  # fmt: skip
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)


class Metrics:
    """This process's own counts, and at each scrape the database's."""

    def __init__(self, database: Database) -> None:
        self._registry = CollectorRegistry(auto_describe=True)
        self._requests = Counter(
            "routeprint_requests", "Requests answered", ["method", "route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "routeprint_request_seconds", "Seconds until the answer began", ["method", "route"],
            buckets=_SECONDS, registry=self._registry,
        )  # fmt: skip
        self._deliveries = Counter(
            "routeprint_webhooks",
            "Webhook deliveries accepted",
            ["event", "outcome"],
            registry=self._registry,
        )
        self._registry.register(_Rows(database))

    def count_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """One request that was answered; ``route`` is the path's pattern, never the path."""
        method = method if method in _METHODS else "other"
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def count_delivery(self, event: str, outcome: Outcome) -> None:
        """One webhook delivery that was accepted."""
        self._deliveries.labels(event if event in _EVENTS else "other", outcome.value).inc()

    def render(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self._registry)


class _Rows:
    """Reads the database when it is scraped, so that every process tells the same of the shared rows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Nothing is read to register."""
        return iter(_families())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One look at the rows."""
        with self._database.reading() as session:
            tallies = count_all(session)
        jobs, depth, verdicts, deliveries = _families()
        for (flow, status), n in tallies.jobs.items():
            jobs.add_metric([flow, status], n)
        for queue, n in tallies.queued.items():
            depth.add_metric([queue], n)
        for verdict, n in tallies.verdicts.items():
            verdicts.add_metric([verdict or "none"], n)
        for status, n in tallies.deliveries.items():
            deliveries.add_metric([status], n)
        yield from (jobs, depth, verdicts, deliveries)


def _families() -> tuple[GaugeMetricFamily, ...]:
    return (
        GaugeMetricFamily("routeprint_jobs", "Jobs kept, by state", labels=["flow", "status"]),
        GaugeMetricFamily("routeprint_queue_depth", "Jobs that wait for a worker", labels=["queue"]),
        GaugeMetricFamily("routeprint_reviews", "Reviews kept, by verdict", labels=["verdict"]),
        GaugeMetricFamily("routeprint_deliveries", "Webhook deliveries kept, by state", labels=["status"]),
    )
