"""Requests to GitHub that can be made twice without harm.

PyGithub carries them; what it does on its own is switched off: it repeats a POST after a 502, never repeats
a PATCH, sleeps without a bound, and drops the query of a renamed repository's redirect.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

import requests
from github import Github
from github.Requester import HTTPRequestsConnectionClass, HTTPSRequestsConnectionClass, RequestsResponse

from connectors.github import GitHubError, GoneError, RateLimitedError, RefusedError, UnavailableError
from connectors.github.limits import wait_for_limit
from connectors.github.payload import part, records, text
from connectors.github.redaction import redact, redact_logger

PAGE = 100  # GitHub's largest; PyGithub would ask for 30
JSON = "application/vnd.github+json"
USER_AGENT = "routeprint"
_MAX_REDIRECTS = 3
_log = redact_logger(__name__)
redact_logger("github.Requester")


@dataclass(frozen=True, slots=True)
class Dials:
    """How a client behaves.

    Attributes:
        url: base of the REST API; GitHub Enterprise Server: https://HOST/api/v3.
        timeout_s: of one request. attempts: of one call, over all kinds of failure.
        write_pause_s: least time between two writes; GitHub asks for one second.
        backoff_s: first wait after a server's error; doubles.
        max_wait_s: the longest wait for a limit; beyond it the caller is told and may come back.
    """

    url: str = "https://api.github.com"
    timeout_s: int = 15
    attempts: int = 5
    write_pause_s: float = 1.0
    backoff_s: float = 1.0
    max_wait_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. headers: names in lower case."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        """The body, read as JSON; None if it is none."""
        try:
            return json.loads(self.text)
        except ValueError:
            return None


@dataclass
class Pacer:
    """Keeps writes apart, over all clients that share it (one per process and app)."""

    pause_s: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _next: float = 0.0

    def wait(self) -> None:
        """Wait for this write's turn."""
        with self._lock:
            now = self.clock()
            start = max(now, self._next)
            self._next = start + self.pause_s
        if start > now:
            self.sleep(start - now)


class _Connection:
    """Mixed into PyGithub's connections: redirects are ours to follow, for PyGithub drops the query."""

    def getresponse(self) -> RequestsResponse:
        response = super().getresponse()  # pyright: ignore[reportAttributeAccessIssue]
        response.status = 308 if response.status == 301 else response.status
        return response


class _HTTPS(_Connection, HTTPSRequestsConnectionClass):
    pass


class _HTTP(_Connection, HTTPRequestsConnectionClass):
    pass


class Client:
    """One credential's view of GitHub. Safe to share between threads."""

    def __init__(
        self,
        dials: Dials,
        credential: Callable[[bool], str],
        pacer: Pacer,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Make a client.

        Args:
            credential: gives the token to send, "" for none; called with True when the last was refused.
            clock, sleep: for tests.
        """
        self.dials = dials
        self._credential, self._pacer, self._clock, self._sleep = credential, pacer, clock, sleep
        self._github = Github(
            base_url=dials.url, timeout=dials.timeout_s, retry=None, user_agent=USER_AGENT, lazy=True,
            seconds_between_requests=None, seconds_between_writes=None,
        )  # fmt: skip
        self._threads = threading.local()  # PyGithub's connection keeps the request it is about to make

    # ------------------------------------------------------------------------------------------ reading

    def get(self, path: str, *, accept: str = JSON, etag: str = "", **query: Any) -> Answer:
        """Read. With an entity tag, an answer with status 304 means: nothing new, and it cost nothing."""
        return self._repeat("GET", path, query=query, accept=accept, etag=etag)

    def pages(self, path: str, key: str = "", **query: Any) -> Iterator[Mapping[str, Any]]:
        """Every item of a list, page by page. key: where the list lies in the answer, when it is wrapped."""
        target = _with_query(path, {"per_page": PAGE, **query})
        while target:
            answer = self.get(target)
            yield from records({"items": answer.json}, "items") if not key else records(answer.json, key)
            target = self._next_page(answer.headers.get("link", ""))

    def clock_difference(self) -> float | None:
        """Seconds that GitHub's clock is ahead of ours; None: it did not say. Needs no permission.

        Raises:
            UnavailableError: GitHub cannot be reached.
        """
        try:
            answer = self._once("GET", "/rate_limit")
            return parsedate_to_datetime(answer.headers.get("date", "")).timestamp() - self._clock()
        except requests.RequestException as error:
            raise UnavailableError(f"{self.dials.url} cannot be reached: {redact(str(error))}") from error
        except ValueError:
            return None

    def _next_page(self, link: str) -> str:
        for entry in link.split(","):
            target, _, relation = entry.partition(";")
            if 'rel="next"' in relation:
                return self._own_path(target.strip(" <>"))
        return ""

    def _own_path(self, url: str) -> str:
        """Path and query of an address that GitHub named.

        Raises:
            GitHubError: it is on another host; a credential is not sent there.
        """
        found, own = urlsplit(url), urlsplit(self.dials.url)
        if found.netloc and (found.scheme, found.netloc) != (own.scheme, own.netloc):
            raise GitHubError(
                f"expected an address on {own.netloc}, GitHub named {found.netloc}; check the base URL"
            )
        path = found.path.removeprefix(own.path.rstrip("/"))
        return path + (f"?{found.query}" if found.query else "")

    # ------------------------------------------------------------------------------------------ writing

    def patch(self, path: str, body: Mapping[str, Any]) -> Answer:
        """Change. The same change twice is one change, so it is repeated until GitHub answers."""
        return self._repeat("PATCH", path, body=body)

    def delete(self, path: str) -> None:
        """Delete; what is gone already is deleted."""
        with contextlib.suppress(GoneError):
            self._repeat("DELETE", path)

    def create(
        self, path: str, body: Mapping[str, Any], *, find: Callable[[], Any | None] | None = None,
        verb: str = "POST",
    ) -> Any:  # fmt: skip
        """Create, once; or with another verb, do once what must not be done twice.

        Args:
            find: looks for what an earlier attempt may have created, and gives its record. Called before
                every repetition whose predecessor may have succeeded. None: creating twice does no harm.
        """
        n_limited = 0
        for attempt in range(self.dials.attempts):
            try:
                answer = self._once(verb, path, body=body)
            except requests.RequestException as error:
                failure = f"{type(error).__name__}: {error}"
            else:
                wait = self._limit(answer, n_limited)
                if wait is not None:
                    n_limited += 1
                    self._wait(wait, answer)
                    continue
                if answer.status < 500:
                    return self._good(verb, path, answer).json
                failure = f"status {answer.status}"
            self._back_off(verb, path, attempt, failure)
            found = find() if find is not None else None
            if found is not None:
                return found
        raise self._exhausted(verb, path)

    def graphql(self, query: str, variables: Mapping[str, Any]) -> Mapping[str, Any]:
        """Run a query.

        Raises:
            RefusedError: GitHub reports errors; it does so with status 200.
        """
        body = {"query": query, "variables": dict(variables)}
        answer = self._repeat("POST", self._github.requester.graphql_url, body=body)
        errors = records(answer.json, "errors")
        data = part(answer.json, "data")
        if errors and text(errors[0], "type") == "NOT_FOUND":
            raise GoneError(f"GraphQL: {text(errors[0], 'message')}")
        if errors or not isinstance(data, Mapping):
            message = "; ".join(text(error, "message") for error in errors) or answer.text[:200]
            raise RefusedError(redact(f"GraphQL query refused: {message}"))
        return data

    # ---------------------------------------------------------------------------------------- one call

    def _repeat(self, verb: str, path: str, **how: Any) -> Answer:
        """Make a request that does no harm when it is made twice, until it is answered."""
        n_limited = 0
        for attempt in range(self.dials.attempts):
            try:
                answer = self._once(verb, path, **how)
            except requests.RequestException as error:
                self._back_off(verb, path, attempt, f"{type(error).__name__}: {error}")
                continue
            wait = self._limit(answer, n_limited)
            if wait is not None:
                n_limited += 1
                self._wait(wait, answer)
            elif answer.status >= 500:
                self._back_off(verb, path, attempt, f"status {answer.status}")
            else:
                return self._good(verb, path, answer)
        raise self._exhausted(verb, path)

    def _once(
        self, verb: str, path: str, *, query: Mapping[str, Any] | None = None, body: Any = None,
        accept: str = JSON, etag: str = "",
    ) -> Answer:  # fmt: skip
        """One request; a refused credential is renewed once, redirects on the same host are followed."""
        if verb != "GET" and "graphql" not in path:
            self._pacer.wait()
        answer = self._send(verb, path, query, body, accept, etag, is_refused=False)
        if answer.status == 401:
            answer = self._send(verb, path, query, body, accept, etag, is_refused=True)
        for _ in range(_MAX_REDIRECTS):
            if answer.status not in {302, 307, 308} or "location" not in answer.headers:
                break
            path = self._own_path(answer.headers["location"])
            _log.info("redirected to %s; the repository was renamed or transferred", path)
            answer = self._send(verb, path, None, body, accept, etag, is_refused=False)
        return answer

    def _send(
        self, verb: str, path: str, query: Mapping[str, Any] | None, body: Any, accept: str, etag: str, *,
        is_refused: bool,
    ) -> Answer:  # fmt: skip
        credential = self._credential(is_refused)
        headers = {"Accept": accept} | ({"Authorization": f"Bearer {credential}"} if credential else {})
        headers |= {"If-None-Match": etag} if etag else {}
        target = _with_query(path, query or {})
        status, given, output = self._github.requester.requestJson(
            verb, target, None, headers, body, cnx=self._connection()
        )
        return Answer(status, given, output)

    def _connection(self) -> _HTTP | _HTTPS:
        found = getattr(self._threads, "connection", None)
        if found is None:
            url = urlsplit(self.dials.url)
            kind = _HTTPS if url.scheme == "https" else _HTTP
            assert url.hostname is not None
            found = self._threads.connection = kind(url.hostname, url.port, timeout=self.dials.timeout_s)
        return found

    # -------------------------------------------------------------------------------- what to make of it

    def _limit(self, answer: Answer, n_before: int) -> float | None:
        now = self._clock()
        return wait_for_limit(answer.status, answer.headers, answer.text, now=now, n_before=n_before)

    def _wait(self, wait_s: float, answer: Answer) -> None:
        if wait_s > self.dials.max_wait_s:
            message = f"a limit of GitHub's is reached (status {answer.status}); try again in {wait_s:.0f} s"
            raise RateLimitedError(message, wait_s)
        _log.info("limited by GitHub (status %s), waiting %.1f s", answer.status, wait_s)
        self._sleep(wait_s)

    def _back_off(self, verb: str, path: str, attempt: int, failure: str) -> None:
        wait = self.dials.backoff_s * 2**attempt
        _log.info("%s %s failed (%s), waiting %.1f s", verb, path, redact(failure), wait)
        self._sleep(wait)

    def _good(self, verb: str, path: str, answer: Answer) -> Answer:
        if answer.status < 400:
            return answer
        said = text(answer.json, "message") or answer.text[:200]
        details = "; ".join(text(e, "message") or text(e, "code") for e in records(answer.json, "errors"))
        message = f"{verb} {path}: status {answer.status}, {said}" + (f" ({details})" if details else "")
        if answer.status in {404, 410, 451}:
            raise GoneError(redact(f"{message}; it does not exist, or the app is not installed there"))
        raise RefusedError(redact(f"{message}; {_advice(answer.status)}"), answer.status)

    def _exhausted(self, verb: str, path: str) -> UnavailableError:
        return UnavailableError(
            f"{verb} {path}: no good answer after {self.dials.attempts} attempts; try later"
        )


def _advice(status: int) -> str:
    if status == 401:
        return "check the app's id, its private key and this machine's clock (`routeprint doctor`)"
    if status == 403:
        return "the app lacks a permission (`routeprint doctor` names it)"
    return "the request is not valid for GitHub"


def _with_query(path: str, query: Mapping[str, Any]) -> str:
    if not query:
        return path
    return f"{path}{'&' if '?' in path else '?'}{urlencode(query)}"
