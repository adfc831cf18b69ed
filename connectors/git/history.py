"""A repository's history as Contributions, oldest first, without a checkout and in flat memory.

>>> stream = read_history(Path("."))           # doctest: +SKIP
>>> for contribution in stream: ...            # doctest: +SKIP
>>> stream.authors, stream.ledger, stream.state  # doctest: +SKIP
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from connectors.contribution import Contribution, FilePatch, FileStatus
from connectors.duplicates import DuplicateIndex
from connectors.filters import FileText, clean_patches, commit_drop_reason, is_generated, language_of
from connectors.git import HistoryError, RewrittenHistoryError
from connectors.git.attributes import FileRules, ignored_revisions, shallow_commits
from connectors.git.command import Repository
from connectors.git.log import Choice, LogEntry, LoggedCommit, code_only_attributes, logged_commits, start_log
from connectors.git.missing import commits_around_missing
from connectors.git.ranges import diff_range, diff_staged
from connectors.identity.author import Alias, Author, AuthorKind, Credit, Evidence, Label, Tier
from connectors.identity.notes import REF, LineNote, NoteError, parse_note
from connectors.identity.resolve import Resolver
from connectors.ledger import DropReason, Ledger

__all__ = ["HistoryState", "HistoryStream", "diff_range", "diff_staged", "read_history"]

STATE_FORMAT = 1
PROGRESS_EVERY = 100  # commits


@dataclass(frozen=True, slots=True)
class HistoryState:
    """What a later run needs to read only what is new. JSON-serialisable through ``to_json``.

    Attributes:
        tip: id of the newest commit read.
        authors: everyone known, with their keys.
        generated: paths whose text said that they are generated.
        duplicates: the near-duplicate table, as ``DuplicateIndex.to_json`` gives it.
        heads: further commits whose history was read, such as heads of squashed pull requests.
    """

    tip: str
    authors: tuple[Author, ...]
    generated: tuple[str, ...]
    duplicates: Mapping[str, Any]
    heads: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A JSON-serialisable form; ``from_json`` reads it back."""
        return {
            "format": STATE_FORMAT,
            "tip": self.tip,
            "authors": [asdict(author) for author in self.authors],
            "generated": list(self.generated),
            "duplicates": dict(self.duplicates),
            "heads": list(self.heads),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> HistoryState:
        """Read what ``to_json`` wrote. Raises HistoryError for another format."""
        if value.get("format") != STATE_FORMAT:
            message = f"expected a history state of format {STATE_FORMAT}, saw {value.get('format')!r}"
            raise HistoryError(f"{message}; read the history again without a state")
        authors = tuple(_author_from_json(author) for author in value["authors"])
        heads = tuple(value.get("heads", ()))
        return cls(value["tip"], authors, tuple(value["generated"]), dict(value["duplicates"]), heads)


def _author_from_json(value: Mapping[str, Any]) -> Author:
    evidence = tuple(Evidence(e["kind"], e["text"], Tier(e["tier"])) for e in value["evidence"])
    aliases = tuple(Alias(**alias) for alias in value["aliases"])
    return Author(
        value["key"], value["name"], AuthorKind(value["kind"]), Tier(value["tier"]), aliases, evidence
    )


def read_history(
    repository: Path,
    *,
    since: HistoryState | None = None,
    rev: str = "HEAD",
    progress: Callable[[int], None] | None = None,
    on_missing: Literal["raise", "skip"] = "raise",
    replacing: Mapping[str, str] | None = None,
) -> HistoryStream:
    """Walk a repository's history into Contributions, oldest first.

    Args:
        repository: a work tree, a folder in one, a bare repository or a git directory.
        since: the state of an earlier run; only newer commits are read.
        rev: where the walk starts.
        progress: called with the number of commits read, now and then and at the end.
        on_missing: what to do where objects are missing or damaged: stop with git's message, or leave
            out those files, counted in the ledger.
        replacing: squash commit -> head of the pull request whose own commits are read in its stead. A
            squash that an earlier run has read is not replaced any more.

    Raises:
        NotARepositoryError, EmptyRepositoryError, HistoryError: now, or while the stream is read.
        RewrittenHistoryError: the commit that ``since`` ends at is not part of ``rev``.
    """
    place = Repository.at(repository)
    tip = place.commit_id(rev)
    if since is not None:
        _check_not_rewritten(place, since.tip, tip, rev)
    return HistoryStream(place, tip, since, progress, on_missing, replacing or {})


def _check_not_rewritten(repository: Repository, old: str, new: str, rev: str) -> None:
    try:
        repository.read("merge-base", "--is-ancestor", old, new)
    except HistoryError as error:
        message = f"the last ingested commit {old[:12]} is not part of {rev} ({new[:12]}) any more"
        advice = "history was rewritten or another branch is checked out; read it again without a state"
        raise RewrittenHistoryError(f"{message}: {advice}") from error


class HistoryStream(Iterator[Contribution]):
    """Contributions of a history as they are read.

    Attributes:
        ledger: what was kept and dropped so far.
        labels: commits with kept code so far, by (author key, label).
        n_commits: commits read so far.
        n_expected: commits the walk will read.
        tip: commit at which the walk starts.
    """

    def __init__(
        self,
        repository: Repository,
        tip: str,
        since: HistoryState | None,
        progress: Callable[[int], None] | None,
        on_missing: Literal["raise", "skip"],
        replacing: Mapping[str, str],
    ) -> None:
        self.ledger = Ledger()
        self.labels: Counter[tuple[str, Label]] = Counter()
        self.n_commits = self.n_expected = 0
        self.tip = tip
        self._repository, self._since = repository, since
        self._progress = progress
        self._skips_missing = on_missing == "skip"
        self._replacing = replacing
        self._resolver = Resolver(since.authors if since else ())
        self._duplicates = DuplicateIndex.from_json(dict(since.duplicates)) if since else DuplicateIndex()
        self._generated = set(since.generated if since else ())
        self._credit = Credit(Label.UNDECLARED, "")
        self._n_undecodable = self._n_bad_notes = 0
        self._is_done = False
        self._mailmap = f"mailmap.blob={tip}:.mailmap"  # git looks there by itself only in bare repositories
        self._contributions = self._walk()

    def __next__(self) -> Contribution:
        return next(self._contributions)

    def close(self) -> None:
        """Stop reading and end git."""
        self._contributions.close()

    @property
    def authors(self) -> dict[str, Author]:
        """Everyone seen so far, people and agents, by key."""
        return self._resolver.authors

    @property
    def merged_authors(self) -> dict[str, str]:
        """Keys of an earlier run that turned out to be somebody already known: old key -> key."""
        return dict(self._resolver.people.merged)

    @property
    def state(self) -> HistoryState:
        """The state for the next run. Raises HistoryError until every contribution has been read."""
        if not self._is_done:
            raise HistoryError("the history has not been read to its end, so there is no state to keep yet")
        return HistoryState(
            self.tip,
            tuple(self.authors.values()),
            tuple(sorted(self._generated)),
            self._duplicates.to_json(),
            self._heads,
        )

    @property
    def _heads(self) -> tuple[str, ...]:
        """Heads read now or before; a commit below any of them is never read twice."""
        return tuple(sorted({*(self._since.heads if self._since else ()), *self._replacing.values()}))

    def _walk(self) -> Generator[Contribution]:
        with ExitStack() as stack:
            settings = stack.enter_context(code_only_attributes())
            self._replacing = self._not_read_yet(self._replacing)
            known = () if self._since is None else ("--not", self._since.tip, *self._since.heads)
            selection = [self.tip, *sorted(set(self._replacing.values())), *known]
            settings = (*settings, self._mailmap)
            run = start_log(self._repository, settings, *selection)
            stack.callback(run.stop)
            self._learn_people(selection)  # while git walks
            rules = FileRules(self._repository, self.tip)
            stack.callback(rules.close)
            choice = self._choice(rules)
            commits = logged_commits(run, choice)
            if self._skips_missing:
                commits = commits_around_missing(self._repository, commits, choice, settings, selection)
            yield from self._read(commits, choice)
        self._finish()

    def _not_read_yet(self, replacing: Mapping[str, str]) -> Mapping[str, str]:
        """The replacements of commits that this run will come to."""
        if self._since is None or not replacing:
            return replacing
        listing = self._repository.read("rev-list", self.tip, "--not", self._since.tip)
        new = frozenset(listing.decode().split())
        return {squash: head for squash, head in replacing.items() if squash in new}

    def _read(self, commits: Iterator[LoggedCommit], choice: Choice) -> Iterator[Contribution]:
        while True:
            try:
                commit = next(commits, None)
            except HistoryError as error:
                raise self._explained(error) from error
            if commit is None:
                return
            self.n_commits += 1
            if self._progress is not None and self.n_commits % PROGRESS_EVERY == 0:
                self._progress(self.n_commits)
            yield from self._contributions_of(commit, choice)

    def _learn_people(self, selection: list[str]) -> None:
        """Join every alias of the range before the first commit is credited."""
        words = ("log", "--format=%aN%x00%aE", "--encoding=UTF-8", "--reverse", *selection)
        output = self._repository.read(*words, settings=(self._mailmap,))
        lines = output.decode("utf-8", "replace").split("\n")[:-1]
        self.n_expected = len(lines)
        pairs = (line.split("\0") for line in dict.fromkeys(lines))
        self._resolver.learn(Alias(pair[0].strip(), pair[1].strip()) for pair in pairs if len(pair) == 2)

    def _choice(self, rules: FileRules) -> Choice:
        ignored = ignored_revisions(self._repository, self.tip)
        shallow = shallow_commits(self._repository)
        if shallow:
            sentence = "The repository is a shallow clone: history before its boundary was not read; "
            self.ledger.note(sentence + "run `git fetch --unshallow` to have all of it.")

        def commit_reason(entry: LogEntry) -> DropReason | None:
            self._credit = self._resolver.credit(entry.facts)
            if entry.commit in self._replacing:
                return DropReason.SQUASHED
            if entry.commit in ignored:
                return DropReason.IGNORED_REVISION
            if entry.commit in shallow:
                return DropReason.SHALLOW_BOUNDARY
            is_bot = self._credit.label is Label.MECHANICAL
            return commit_drop_reason(entry.text) or (DropReason.MECHANICAL_BOT if is_bot else None)

        def file_reason(patch: FilePatch) -> DropReason | None:
            reason = rules.reason(patch)
            if reason is None and (patch.path in self._generated or patch.old_path in self._generated):
                return DropReason.GENERATED
            return reason

        return Choice(commit_reason, file_reason)

    def _contributions_of(self, commit: LoggedCommit, choice: Choice) -> Iterator[Contribution]:
        patches, ledger = clean_patches(commit.patches, choice.file_reason)
        self._note_generated(commit.patches, patches)
        note = self._line_note(commit.entry)
        credited = [(patch, self._credit_of(commit.entry, patch, note)) for patch in patches]
        kept = [
            self._contribution(commit.entry, patch, credit)
            for patch, credit in credited
            if self._is_own(patch, credit, ledger)
        ]
        if kept:
            ledger.keep(commits=1)
            self.labels.update({(found.author, found.credit.label) for found in kept if found.credit})
        self.ledger.add(commit.ledger)
        self.ledger.add(ledger)
        yield from kept

    def _line_note(self, entry: LogEntry) -> LineNote | None:
        if not entry.note:
            return None
        try:
            return parse_note(entry.note)
        except NoteError:
            self._n_bad_notes += 1
            return None

    def _credit_of(self, entry: LogEntry, patch: FilePatch, note: LineNote | None) -> Credit:
        """The commit's credit, unless a line note knows more of this file."""
        if note is None:
            return self._credit
        added = [number for hunk in patch.hunks for number in hunk.added_numbers]
        return self._resolver.credit_file(self._credit, entry.facts, note.attested(patch.path, added))

    def _contribution(self, entry: LogEntry, patch: FilePatch, credit: Credit) -> Contribution:
        language = language_of(patch.path)
        assert language is not None  # the file rules let code through only
        return Contribution(
            entry.commit, credit.author, entry.authored_at, patch.path, language, patch.hunks, credit
        )

    def _is_own(self, patch: FilePatch, credit: Credit, ledger: Ledger) -> bool:
        """Enter a patch into the ledger: as kept, or as a near-duplicate of another author's text."""
        lines = FileText.of(patch).added
        self._n_undecodable += "\ufffd" in "".join(lines)
        if self._duplicates.claim(credit.author, lines):
            ledger.drop(DropReason.NEAR_DUPLICATE, len(lines), files=1)
            return False
        ledger.keep(len(lines), files=1)
        return True

    def _note_generated(self, patches: list[FilePatch], kept: tuple[FilePatch, ...]) -> None:
        """Remember new files whose head says that they are generated, for their later changes."""
        if len(kept) == len(patches):
            return
        kept_paths = {patch.path for patch in kept}
        for patch in patches:
            is_new = patch.status is FileStatus.ADDED and patch.path not in kept_paths
            if is_new and is_generated(FileText.of(patch)):
                self._generated.add(patch.path)

    def _explained(self, error: HistoryError) -> HistoryError:
        message = f"{error} (after {self.n_commits} of {self.n_expected} commits)"
        if "unable to read" in str(error) or "bad object" in str(error) or "missing" in str(error):
            message += (
                ". Objects are missing or damaged: `git fsck` lists them, `git fetch --refetch` fetches a "
                "partial clone whole; or read on without those files (`routeprint ingest --skip-missing`, "
                "on_missing='skip')"
            )
        return HistoryError(message)

    def _finish(self) -> None:
        if self._progress is not None:
            self._progress(self.n_commits)
        if self._n_undecodable:
            sentence = f"{self._n_undecodable} kept file changes hold bytes that are not UTF-8; "
            self.ledger.note(sentence + "those bytes were replaced by U+FFFD.")
        if self._n_bad_notes:
            sentence = f"{self._n_bad_notes} commits carry a note in {REF} that cannot be read; "
            self.ledger.note(sentence + "they were credited as if they had none.")
        for email, names in self._resolver.people.shared_addresses().items():
            sentence = f"{len(names)} names share the address {email} ({', '.join(names[:4])}, ...): "
            self.ledger.note(sentence + "taken as one person; separate them in .mailmap if they are not.")
        self._is_done = True
