"""Two years of commits: the authors' work interleaved, with branches, merges and noise."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from service.sample import noise
from service.sample.people import AGENT, DEPENDABOT, MARA, PRIYA, TEAM, TOMASZ, Person
from service.sample.repository import MAIN, Commit, HistoryWriter
from service.sample.writing import Change, Desk, commit_size

_FIRST_DAY = 1_685_944_800  # 2023-06-05 06:00 UTC, a Monday
_N_DAYS = 728
_OFFSETS = {"mara": "+0200", "tomasz": "+0100", "priya": "+0530", "agent": "+0000"}
_MAX_LINES = 150
_FIX_LINES = 16
_BRANCH_RATE = 0.06
_ASSISTED_RATE = 0.04
_MAILMAP = f"{TOMASZ.signature} <{TOMASZ.aliases[0]}>\n"

Progress = Callable[[str, float], None]
"""Called with a stage and the fraction done."""


def _anywhere(path: str) -> bool:
    """Whether a file may be touched: any may."""
    return bool(path)


@dataclass(slots=True)
class Tally:
    """What was written: commits and characters by author key, and marks of the noise by kind."""

    n_commits: dict[str, int] = field(default_factory=dict)
    n_characters: dict[str, int] = field(default_factory=dict)
    noise: dict[str, list[int]] = field(default_factory=dict)

    def count(self, key: str, change: Change) -> None:
        """Add one commit."""
        self.n_commits[key] = self.n_commits.get(key, 0) + 1
        self.n_characters[key] = self.n_characters.get(key, 0) + change.n_characters


class Chronicle:
    """Writes the history while it is decided. ``budgets`` are characters per author key."""

    def __init__(
        self, writer: HistoryWriter, desk: Desk, rng: random.Random, budgets: Mapping[str, int]
    ) -> None:
        self._writer = writer
        self._desk = desk
        self._rng = rng
        self._budgets = dict(budgets)
        self._clock = 0
        self._n_merges = 0
        self._n_bumps = 0
        self._tip = 0
        self.tally = Tally()

    def write(self, vendored: list[Path], progress: Progress) -> None:
        """The whole history, from the first commit to the last before the new diffs."""
        self._begin()
        events = self._events(vendored)
        while any(self._left(key) > 0 for key in self._budgets):
            progress("history", self._done())
            self._desk.keep_stocked()
            while events and events[0][0] <= self._done():
                events.pop(0)[1]()
            self._write_next(self._next_person())
        for _, event in events:
            event()

    # Authors at work

    def _write_next(self, person: Person) -> None:
        if person is AGENT:
            self._write_change(person)
        elif self._rng.random() < _BRANCH_RATE:
            self._write_branch(person)
        elif self._rng.random() < _ASSISTED_RATE:
            self._write_assisted(person)
        else:
            self._write_change(person)

    def _write_change(self, person: Person, allowed: Callable[[str], bool] = _anywhere) -> Change | None:
        change = self._change(person, allowed)
        if change is not None:
            self._commit(person, _message(person, change, self._rng), self._texts(change.paths))
        return change

    def _change(self, person: Person, allowed: Callable[[str], bool] = _anywhere) -> Change | None:
        """Write at the desk and count it; the commit is the caller's."""
        size = commit_size(self._rng)
        change = self._desk.write_held(person, allowed) if size < _FIX_LINES else None
        change = change or self._desk.write(person, size, _MAX_LINES, allowed)
        if change is not None:
            self.tally.count(person.key, change)
        return change

    def _write_assisted(self, person: Person) -> None:
        """A human's commit that an agent wrote: the agent's hand and its trailer."""
        change = self._desk.write(AGENT, commit_size(self._rng), _MAX_LINES, _anywhere)
        if change is not None:
            message = f"{change.subject}\n\nCo-Authored-By: {AGENT.signature}"
            self._note("assisted", self._commit(person, message, self._texts(change.paths)))

    def _write_branch(self, person: Person) -> None:
        """Two or three commits on a branch while another author works on other files, then a merge."""
        start = tip = self._tip
        self._n_merges += 1
        topic = f"{person.key}/topic-{self._n_merges}"
        branch = f"refs/heads/{topic}"
        touched: set[str] = set()
        for _ in range(self._rng.randint(2, 3)):
            change = self._change(person)
            if change is not None:
                touched |= set(change.paths)
                message = _message(person, change, self._rng)
                first = start if tip == start else None
                tip = self._write(person, message, self._texts(change.paths), branch=branch, start=first)
        if tip == start:
            return
        keys = {key for key, draft in self._desk.drafts.items() if draft.path in touched}
        self._write_change(
            self._rng.choice([p for p in TEAM if p is not person]), lambda key: key not in keys
        )
        message = f"Merge pull request #{self._n_merges * 7} from acme/{topic}"
        self._tip = self._write(person, message, self._texts(touched), merged=(tip,))
        self._note("merge", self._tip)

    # Noise

    def _events(self, vendored: list[Path]) -> list[tuple[float, Callable[[], None]]]:
        """What happens when, as fractions of the history."""
        drafts = self._desk.drafts
        texts = noise.vendored_files(vendored)
        return [
            (
                0.02,
                lambda: self._noise(
                    "lockfile", MARA, "Lock the dependencies", {"poetry.lock": noise.lockfile(self._rng)}
                ),
            ),
            (0.08, lambda: self._noise("vendored", TOMASZ, "Vendor two small modules", texts)),
            (0.2, self._bump),
            (
                0.3,
                lambda: self._noise(
                    "licence", PRIYA, "Add licence headers", noise.add_licences(list(drafts.values()))
                ),
            ),
            (0.4, self._move),
            (0.45, self._rename_loggers),
            (0.5, lambda: self._noise("mailmap", TOMASZ, "Map my old address", {".mailmap": _MAILMAP})),
            (0.55, self._bump),
            (
                0.62,
                lambda: self._noise(
                    "whitespace", MARA, "Reformat", noise.indent_closings(list(drafts.values()), 3)
                ),
            ),
            (0.7, self._revert),
            (0.85, self._bump),
            (0.88, self._revert),
        ]

    def _begin(self) -> None:
        project = noise.PYPROJECT.format(version="0.1")
        files = {
            "README.md": noise.README,
            "pyproject.toml": project,
            ".gitignore": "*.pyc\n",
            "src/acme/__init__.py": "",
        }
        self._noise("start", MARA, "Start the project", files)

    def _noise(self, kind: str, person: Person, message: str, changes: Mapping[str, str | None]) -> None:
        self._note(kind, self._commit(person, message, changes))

    def _note(self, kind: str, mark: int) -> None:
        self.tally.noise.setdefault(kind, []).append(mark)

    def _bump(self) -> None:
        self._n_bumps += 1
        project = noise.PYPROJECT.format(version=f"0.{self._n_bumps + 1}")
        changes = {"poetry.lock": noise.lockfile(self._rng), "pyproject.toml": project}
        subject = f"Bump httpx from 0.{self._n_bumps} to 0.{self._n_bumps + 1}"
        message = f"{subject}\n\nSigned-off-by: {DEPENDABOT.signature}"
        self._noise("dependabot", DEPENDABOT, message, changes)

    def _move(self) -> None:
        old, new = noise.move(self._rng.choice(list(self._desk.drafts.values())), "shared")
        self._tip = self._write(PRIYA, "Move to shared", {}, renames={old: new})
        self._note("move", self._tip)

    def _rename_loggers(self) -> None:
        self._desk.logger = "acme.service"
        self._noise(
            "codemod", TOMASZ, "Rename loggers", noise.rename_loggers(list(self._desk.drafts.values()))
        )

    def _revert(self) -> None:
        """A commit that is taken back at once by somebody else."""
        author, other = self._rng.sample(TEAM, 2)
        before = self._desk.snapshot()
        change = self._write_change(author)
        if change is None:
            return
        object_id = self._writer.object_id(self._tip)
        self._desk.restore(before)
        texts = self._texts(change.paths)
        message = f'Revert "{change.subject}"\n\nThis reverts commit {object_id}.'
        self._noise("revert", other, message, {path: texts.get(path) for path in change.paths})

    # Commits

    def _texts(self, paths: Iterable[str]) -> dict[str, str]:
        wanted = set(paths)
        return {draft.path: draft.text() for draft in self._desk.drafts.values() if draft.path in wanted}

    def _commit(self, person: Person, message: str, changes: Mapping[str, str | None]) -> int:
        self._tip = self._write(person, message, changes)
        return self._tip

    def _write(
        self,
        person: Person,
        message: str,
        changes: Mapping[str, str | None],
        *,
        branch: str = MAIN,
        start: int | None = None,
        merged: tuple[int, ...] = (),
        renames: Mapping[str, str] | None = None,
    ) -> int:
        author = f"{person.name} <{self._address(person)}>"
        offset = _OFFSETS.get(person.key, "+0000")
        commit = Commit(
            author, self._now(), offset, message + "\n", changes, renames or {}, branch, start, merged
        )
        return self._writer.write(commit)

    def _address(self, person: Person) -> str:
        """Tomasz changed his address half-way; Priya makes some commits in the browser."""
        if person is TOMASZ and self._done() < 0.5:
            return person.aliases[0]
        if person is PRIYA and self._rng.random() < 0.3:
            return person.aliases[0]
        return person.email

    def _now(self) -> int:
        """A time on a working day, after the last one."""
        day = int(self._done() * _N_DAYS)
        day -= max(0, day % 7 - 4)
        self._clock = max(self._clock + self._rng.randint(300, 2400), _FIRST_DAY + 86_400 * day)
        return self._clock

    def _left(self, key: str) -> int:
        return self._budgets[key] - self.tally.n_characters.get(key, 0)

    def _done(self) -> float:
        written = sum(min(self.tally.n_characters.get(key, 0), most) for key, most in self._budgets.items())
        return written / sum(self._budgets.values())

    def _next_person(self) -> Person:
        people = [*TEAM, AGENT]
        return self._rng.choices(people, [max(0, self._left(person.key)) for person in people])[0]


def _message(person: Person, change: Change, rng: random.Random) -> str:
    trailers: list[str] = []
    if person is AGENT:
        trailers.append(f"Co-Authored-By: {rng.choice(TEAM).signature}")
    if person.sign_off:
        trailers.append(f"Signed-off-by: {person.signature}")
    return "\n".join([change.subject, *(["", *trailers] if trailers else [])])
