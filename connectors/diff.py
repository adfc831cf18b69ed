"""Unified diffs: text to ``FilePatch`` and back.

One line parser serves both a diff that a person hands over (``parse_diff``) and git's own log stream
(``LineFeed`` with ``read_patch``). Hunk bodies are delimited by the counts in the hunk header, never
by looking at prefixes, because ``--- x`` may well be a deleted line that reads ``-- x``.
Format: https://git-scm.com/docs/diff-format#generate_patch_text_with_p
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from connectors import ConnectorError
from connectors.contribution import FilePatch, FileStatus, Hunk

MAX_WINDOW = 65_536  # lines held at once while a hunk is read or skipped
HUGE_HUNK = 20_000  # lines; in a log stream a longer hunk is counted and not kept

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@ ?(.*)")
_PREFIX_PAIRS = (("a", "b"), ("i", "w"), ("c", "i"), ("c", "w"), ("o", "w"), ("1", "2"))
_ESCAPE = re.compile(rb'\\([abtnvfr"\\]|[0-7]{3})')
_ESCAPED = {
    b"a": b"\a", b"b": b"\b", b"t": b"\t", b"n": b"\n", b"v": b"\v", b"f": b"\f", b"r": b"\r",
    b'"': b'"', b"\\": b"\\",
}  # fmt: skip


class DiffError(ConnectorError):
    """A diff is malformed.

    Attributes:
        line_number: 1-based line of the diff at which it stopped making sense.
    """

    def __init__(self, message: str, line_number: int) -> None:
        super().__init__(f"line {line_number} of the diff: {message}")
        self.line_number = line_number


class LineFeed:
    """Lines from blocks of lines, with one line of look-ahead; holds one block at a time."""

    def __init__(self, blocks: Iterable[list[str]]) -> None:
        self._blocks = iter(blocks)
        self._lines: list[str] = []
        self._at = 0
        self._n_before = 0

    @property
    def line_number(self) -> int:
        """1-based number of the line that comes next."""
        return self._n_before + self._at + 1

    def peek(self) -> str | None:
        """The next line without consuming it, or None at the end."""
        try:
            return self._lines[self._at]
        except IndexError:
            return self._refilled()

    def _refilled(self) -> str | None:
        for block in self._blocks:
            self._n_before += len(self._lines)
            self._lines, self._at = block, 0
            if block:
                return block[0]
        return None

    def skip(self) -> None:
        """Consume the line that ``peek`` showed."""
        self._at += 1

    def take(self, n: int) -> list[str]:
        """Consume 1 to ``n`` lines; an empty list only at the end."""
        if self._at >= len(self._lines) and self.peek() is None:
            return []
        start = self._at
        taken = self._lines[start : start + n]
        self._at = start + len(taken)
        return taken


def parse_diff(text: str) -> tuple[FilePatch, ...]:
    """Read a unified diff, git-style or plain, in the order of its files.

    Text around the file sections (mail headers, ``git show`` messages, diffstats) is passed over. Empty
    text gives an empty tuple. Line ends may be LF or CRLF.

    Raises:
        DiffError: a hunk is cut short, has lines its header does not announce or belongs to no file; a
            merge's combined diff; or text in which no file section is found.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    if lines[-1] == "":
        lines.pop()
    feed = LineFeed([lines])
    patches = tuple(_patches(feed))
    if not patches and text.strip():
        raise DiffError("no file section found (expected 'diff --git a/x b/x' or '--- x' then '+++ x')", 1)
    return patches


def _patches(feed: LineFeed) -> Iterator[FilePatch]:
    while (line := feed.peek()) is not None:
        if line.startswith("diff --git "):
            yield read_patch(feed).patch
        elif line.startswith(("diff --cc ", "diff --combined ")):
            raise DiffError("a merge's combined diff; give the diff against one parent", feed.line_number)
        elif line.startswith("--- "):
            patch = _plain_patch(feed)
            if patch is not None:
                yield patch
        elif _HUNK.match(line):
            raise DiffError(f"hunk {line[:40]!r} without a file section before it", feed.line_number)
        else:
            feed.skip()


@dataclass(frozen=True, slots=True)
class PatchRead:
    """What ``read_patch`` found.

    Attributes:
        patch: the patch, without hunks when it was not wanted.
        n_added: its added lines, those of hunks that were left out included.
        is_whole: False if hunks over ``HUGE_HUNK`` lines were left out of a wanted patch.
    """

    patch: FilePatch
    n_added: int
    is_whole: bool


def read_patch(feed: LineFeed, wanted: Callable[[FilePatch], bool] | None = None) -> PatchRead:
    """Read one file section that starts at ``diff --git``.

    Args:
        wanted: asked once with the patch before its hunks are read; False skips them.
    """
    patch = _read_git_header(feed)
    keep = wanted is None or wanted(patch)
    hunks, n_added, is_whole = _read_hunks(feed, keep, HUGE_HUNK if wanted else None)
    if hunks:
        patch = FilePatch(
            patch.path, patch.old_path, patch.status, hunks, patch.is_binary, patch.old_mode, patch.mode
        )
    return PatchRead(patch, n_added, is_whole)


def _plain_patch(feed: LineFeed) -> FilePatch | None:
    """Read ``--- x`` / ``+++ y`` / hunks; None if the ``---`` line was only text."""
    old_line = feed.take(1)[0]
    new_line = feed.peek()
    if new_line is None or not new_line.startswith("+++ "):
        return None
    feed.skip()
    old_path, path = _strip_prefixes(_file_name(old_line[4:]), _file_name(new_line[4:]))
    status = FileStatus.MODIFIED
    if old_path is None:
        status, old_path = FileStatus.ADDED, path
    elif path is None:
        status, path = FileStatus.DELETED, old_path
    if old_path is None or path is None:
        raise DiffError("both sides of the file section are /dev/null", feed.line_number - 1)
    return FilePatch(path, old_path, status, _read_hunks(feed)[0])


def _read_hunks(
    feed: LineFeed, keep: bool = True, longest: int | None = None
) -> tuple[tuple[Hunk, ...], int, bool]:
    """Hunks (those kept), added lines (of all), and whether none was left out for its length."""
    hunks: list[Hunk] = []
    n_added, is_whole = 0, True
    while (line := feed.peek()) is not None and line.startswith("@@ "):
        match = _HUNK.match(line)
        if match is None:
            raise DiffError(f"expected '@@ -a,b +c,d @@', saw {line[:60]!r}", feed.line_number)
        feed.skip()
        old_start, old_count, new_start, new_count, section = match.groups()
        n_old, n_new = int(old_count or 1), int(new_count or 1)
        is_short = longest is None or n_old + n_new <= longest
        body, n_plus = _read_body(feed, n_old, n_new, keep and is_short)
        n_added += n_plus
        if keep and is_short:
            hunks.append(Hunk(int(old_start), n_old, int(new_start), n_new, section, tuple(body)))
        is_whole = is_whole and is_short
    return tuple(hunks), n_added, is_whole


def _read_body(feed: LineFeed, n_old: int, n_new: int, keep: bool) -> tuple[list[str], int]:
    """Consume a hunk body by its counts. Returns its lines (empty unless kept) and its added lines.

    The lines still missing are at least max(n_old, n_new), so that many can be taken blindly.
    """
    body: list[str] = []
    n_added = 0
    while n_old > 0 or n_new > 0:
        window = feed.take(min(max(n_old, n_new), MAX_WINDOW))
        if not window:
            message = f"the hunk ends early: {n_old} old and {n_new} new lines are missing"
            raise DiffError(message, feed.line_number)
        marks = [line[:1] for line in window]
        n_plus, n_minus = marks.count("+"), marks.count("-")
        n_context = marks.count(" ")
        if n_plus + n_minus + n_context != len(window):
            window, n_context = _tidy(feed, window, n_context)
        n_old -= n_context + n_minus
        n_new -= n_context + n_plus
        n_added += n_plus
        if keep:
            body += window
        if n_old < 0 or n_new < 0:
            raise DiffError("the hunk's lines are not the ones its header announces", feed.line_number - 1)
    line = feed.peek()
    if line is not None and line.startswith("\\"):
        feed.skip()
    return body, n_added


def _tidy(feed: LineFeed, window: list[str], n_context: int) -> tuple[list[str], int]:
    """Drop "no newline" markers and give blank context lines their prefix back."""
    tidy: list[str] = []
    for offset, line in enumerate(window):
        if line == "":
            tidy.append(" ")
            n_context += 1
        elif line[0] in " +-":
            tidy.append(line)
        elif line[0] != "\\":
            number = feed.line_number - len(window) + offset
            raise DiffError(f"expected a hunk line starting with ' ', '+' or '-', saw {line[:60]!r}", number)
    return tidy, n_context


@dataclass(slots=True)
class _Header:
    """What the lines between ``diff --git`` and the first hunk say."""

    old_path: str | None = None
    path: str | None = None
    old_mode: str = ""
    mode: str = ""
    status: FileStatus = FileStatus.MODIFIED
    is_binary: bool = False

    def take(self, word: str, rest: str) -> bool:
        """Take in one line; False if it belongs to no header."""
        if word == "index":
            both = rest.partition(" ")[2]
            if both:
                self.old_mode = self.mode = both
        elif word in ("new", "old", "deleted"):
            self._take_mode(word, rest)
        elif word in ("rename", "copy"):
            self._take_name(word, rest)
        elif word in ("Binary", "GIT"):
            self.is_binary = True
        else:
            return word in ("similarity", "dissimilarity")
        return True

    def _take_mode(self, word: str, rest: str) -> None:
        if rest.startswith("file mode "):
            self.status = FileStatus.ADDED if word == "new" else FileStatus.DELETED
        mode = rest.rpartition(" ")[2]
        if word == "new":
            self.mode = mode
        else:
            self.old_mode = mode

    def _take_name(self, word: str, rest: str) -> None:
        side, _, name = rest.partition(" ")
        if side == "from":
            self.old_path = _unquoted(name)
        else:
            self.status = FileStatus.RENAMED if word == "rename" else FileStatus.ADDED
            self.path = _unquoted(name)


def _read_git_header(feed: LineFeed) -> FilePatch:
    number = feed.line_number
    names = feed.take(1)[0][len("diff --git ") :]
    header = _Header()
    while (line := feed.peek()) is not None:
        word, _, rest = line.partition(" ")
        if word == "---":
            header.old_path, header.path = _side_names(feed, line)
            break
        if not header.take(word, rest):
            break
        feed.skip()
    if header.old_path is None and header.path is None:
        header.old_path, header.path = _names_of(names, number)
    old, new = header.old_path or header.path, header.path or header.old_path
    assert old is not None and new is not None
    return FilePatch(new, old, header.status, (), header.is_binary, header.old_mode, header.mode)


def _side_names(feed: LineFeed, line: str) -> tuple[str | None, str | None]:
    """Read the ``---`` and ``+++`` lines; None for /dev/null."""
    feed.skip()
    new_line = feed.peek()
    if new_line is None or not new_line.startswith("+++ "):
        raise DiffError(f"expected '+++ path' after '--- path', saw {str(new_line)[:60]!r}", feed.line_number)
    feed.skip()
    return _strip_prefixes(_file_name(line[4:]), _file_name(new_line[4:]))


def _names_of(names: str, number: int) -> tuple[str | None, str | None]:
    """Both paths from a ``diff --git`` line, which has them unquoted around a space when they are plain."""
    if names.startswith('"') or names.endswith('"'):
        parts = re.findall(r'"(?:[^"\\]|\\.)*"|[^" ][^"]*?(?= "|$)', names)
        if len(parts) == 2:
            return _strip_prefixes(_unquoted(parts[0]), _unquoted(parts[1]))
    middle = len(names) // 2
    if len(names) % 2 and names[middle] == " ":
        old, new = _strip_prefixes(names[:middle], names[middle + 1 :])
        if old == new:
            return old, new
    old, found, new = names.partition(" b/")
    if not found:
        raise DiffError(f"cannot tell the two paths apart in {names[:80]!r}", number)
    return _strip_prefixes(old, "b/" + new)


def _file_name(text: str) -> str | None:
    """A path from a ``---`` or ``+++`` line: unquoted, without the timestamp; None for /dev/null."""
    name = _unquoted(text.rstrip("\t")) if text.startswith('"') else text.partition("\t")[0]
    return None if name == "/dev/null" else name


def _strip_prefixes(old: str | None, new: str | None) -> tuple[str | None, str | None]:
    """Remove a/ and b/, or git's mnemonic pairs when both sides exist and carry them."""
    if old is None or new is None:
        return old and old.removeprefix("a/"), new and new.removeprefix("b/")
    for old_prefix, new_prefix in _PREFIX_PAIRS:
        if old.startswith(old_prefix + "/") and new.startswith(new_prefix + "/"):
            return old[2:], new[2:]
    return old, new


def _unquoted(text: str) -> str:
    """Undo git's C-style quoting of unusual paths."""
    if not (len(text) >= 2 and text.startswith('"') and text.endswith('"')):
        return text
    raw = text[1:-1].encode("utf-8", "surrogateescape")
    plain = _ESCAPE.sub(lambda m: _ESCAPED.get(m[1]) or bytes([int(m[1], 8) & 255]), raw)
    return plain.decode("utf-8", "replace")


def _quoted(path: str) -> str:
    if not re.search(r'[\x00-\x1f\x7f"\\]', path):
        return path
    named = {value[0]: "\\" + key.decode() for key, value in _ESCAPED.items()}
    escape = lambda m: named.get(ord(m[0])) or f"\\{ord(m[0]):03o}"  # noqa: E731
    return '"' + re.sub(r'[\x00-\x1f\x7f"\\]', escape, path) + '"'


def format_patch(patch: FilePatch) -> str:
    """Write a file section in git's format; ``parse_diff`` reads it back as an equal patch.

    Not kept: blob ids and "no newline at end of file" markers.
    """
    old_name, new_name = _quoted("a/" + patch.old_path), _quoted("b/" + patch.path)
    lines = [f"diff --git {old_name} {new_name}", *_mode_lines(patch)]
    if patch.status is FileStatus.RENAMED:
        lines += [f"rename from {_quoted(patch.old_path)}", f"rename to {_quoted(patch.path)}"]
    if patch.is_binary:
        lines.append(f"Binary files {old_name} and {new_name} differ")
    if patch.hunks:
        # git ends a name that holds a space with a tab, so that patch(1) does not take it for a date
        old_end, new_end = ("\t" if " " in name else "" for name in (old_name, new_name))
        lines.append("--- " + ("/dev/null" if patch.status is FileStatus.ADDED else old_name + old_end))
        lines.append("+++ " + ("/dev/null" if patch.status is FileStatus.DELETED else new_name + new_end))
    for hunk in patch.hunks:
        old, new = _range(hunk.old_start, hunk.old_count), _range(hunk.new_start, hunk.new_count)
        lines += [f"@@ -{old} +{new} @@ {hunk.section}".rstrip(" "), *hunk.lines]
    return "\n".join(lines) + "\n"


def _mode_lines(patch: FilePatch) -> list[str]:
    if patch.status is FileStatus.ADDED:
        return [f"new file mode {patch.mode}"]
    if patch.status is FileStatus.DELETED:
        return [f"deleted file mode {patch.old_mode}"]
    if patch.old_mode != patch.mode:
        return [f"old mode {patch.old_mode}", f"new mode {patch.mode}"]
    return [f"index 0000000..0000000 {patch.mode}"] if patch.mode else []


def _range(start: int, count: int) -> str:
    return str(start) if count == 1 else f"{start},{count}"
