from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.contribution import FilePatch, FileStatus, Hunk
from connectors.diff import DiffError, format_patch, parse_diff

GIT = """\
diff --git a/app/x.py b/app/x.py
index 1234567..89abcde 100644
--- a/app/x.py
+++ b/app/x.py
@@ -1,4 +1,5 @@ def f():
 one
--- looks like a header
+++ so does this
+two

 four
@@ -10 +11,2 @@
 ten
+eleven
\\ No newline at end of file
"""


def test_git_diff_is_parsed_by_counts():
    (patch,) = parse_diff(GIT)
    assert (patch.path, patch.status, patch.mode) == ("app/x.py", FileStatus.MODIFIED, "100644")
    first, second = patch.hunks
    assert first.added == ("++ so does this", "two")
    assert first.deleted == ("-- looks like a header",)
    assert first.lines[4] == " "  # a blank context line whose space was stripped in transit
    assert first.section == "def f():"
    assert (second.old_start, second.new_start, second.added) == (10, 11, ("eleven",))


def test_plain_diff_with_timestamps_and_windows_line_ends():
    text = (
        "Index: x\n===\n--- old dir/a.c\t2020-01-01 10:00\n+++ old dir/a.c\t2020-01-02\n@@ -1 +1 @@\n-a\n+b\n"
    )
    (patch,) = parse_diff(text.replace("\n", "\r\n"))
    assert (patch.path, patch.hunks[0].added, patch.hunks[0].deleted) == ("old dir/a.c", ("b",), ("a",))


def test_plain_added_and_deleted_files():
    added, deleted = parse_diff(
        "--- /dev/null\n+++ b/n.py\n@@ -0,0 +1 @@\n+x\n--- a/o.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"
    )
    assert (added.path, added.status) == ("n.py", FileStatus.ADDED)
    assert (deleted.path, deleted.status) == ("o.py", FileStatus.DELETED)


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("diff --git a/a b.png b/a b.png\nindex 1..2 100644\nBinary files a/a b.png and b/a b.png differ\n",
         FilePatch("a b.png", "a b.png", FileStatus.MODIFIED, (), True, "100644", "100644")),
        ("diff --git a/x b/y\nsimilarity index 100%\nrename from x\nrename to y\n",
         FilePatch("y", "x", FileStatus.RENAMED, ())),
        ("diff --git a/x b/x\nold mode 100644\nnew mode 100755\n",
         FilePatch("x", "x", FileStatus.MODIFIED, (), False, "100644", "100755")),
        ("diff --git a/x b/x\nnew file mode 100644\nindex 0000000..e69de29\n",
         FilePatch("x", "x", FileStatus.ADDED, (), False, "", "100644")),
        ("diff --git a/x b/x\ndeleted file mode 100644\nindex e69de29..0000000\n",
         FilePatch("x", "x", FileStatus.DELETED, (), False, "100644", "")),
        ('diff --git "a/t\\tab \\303\\244.py" "b/t\\tab \\303\\244.py"\nold mode 100644\nnew mode 100755\n',
         FilePatch("t\tab ä.py", "t\tab ä.py", FileStatus.MODIFIED, (), False, "100644", "100755")),
        ("diff --git a/x b/x\nindex 1..2 100644\nGIT binary patch\nliteral 4\nLc${NkU|;|M00aO5\n\n",
         FilePatch("x", "x", FileStatus.MODIFIED, (), True, "100644", "100644")),
    ],
)  # fmt: skip
def test_sections_without_hunks(section: str, expected: FilePatch):
    assert parse_diff(section) == (expected,)


def test_text_around_the_sections_is_passed_over():
    mail = (
        "From 1234\nSubject: [PATCH] x\n\n---\n app/x.py | 3 +-\n 1 file changed\n\n"
        + GIT
        + "-- \n2.39.5\n\n"
    )
    assert parse_diff(mail) == parse_diff(GIT)
    assert parse_diff("") == ()


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("hello\nworld\n", 1, "no file section"),
        ("@@ -1 +1 @@\n-a\n+b\n", 1, "without a file section"),
        ("--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n a\n", 5, "ends early"),
        ("--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n a\nxyz\n", 5, "expected a hunk line"),
        ("--- a/x\n+++ b/x\n@@ -1,2 +1,3 @@\n a\n-b\n-c\n+d\n", 6, "not the ones"),
        ("--- a/x\n+++ b/x\n@@ nonsense @@\n a\n", 3, "expected '@@"),
        ("diff --cc x\nindex 1,2..3\n", 1, "combined"),
    ],
)
def test_malformed_diffs_name_the_line(text: str, line: int, words: str):
    with pytest.raises(DiffError, match=words) as caught:
        parse_diff(text)
    assert caught.value.line_number == line


# no "\r": before a line's end it would read as part of the line end
_odd = st.sampled_from("ab/ \t\n\\\"'äß€\u2028\x1f\x7f-+@")
_paths = st.text(_odd, min_size=1, max_size=12).filter(lambda path: not path.startswith("/"))
_text = st.text(st.sampled_from('ab \t\\"ä\u2028\x0c-+@/'), max_size=12)
_body = st.lists(st.tuples(st.sampled_from(" +-"), _text).map("".join), min_size=1, max_size=8)


@st.composite
def _hunks(draw: st.DrawFn) -> Hunk:
    lines = tuple(draw(_body))
    n_plus = sum(line[0] == "+" for line in lines)
    n_minus = sum(line[0] == "-" for line in lines)
    section = draw(_text.filter(lambda text: text == text.strip()))
    n_old, n_new = len(lines) - n_plus, len(lines) - n_minus
    start = draw(st.integers(0, 10**6))
    return Hunk(start, n_old, start, n_new, section, lines)


@st.composite
def _patches(draw: st.DrawFn) -> FilePatch:
    path, old_path = draw(_paths), draw(_paths)
    status = draw(st.sampled_from(FileStatus))
    hunks = tuple(draw(st.lists(_hunks(), max_size=3)))
    if status is not FileStatus.RENAMED or path == old_path:
        old_path = path
        status = FileStatus.MODIFIED if status is FileStatus.RENAMED else status
    old_mode, mode = draw(st.sampled_from([("100644", "100644"), ("100644", "100755"), ("120000", "120000")]))
    old_mode = "" if status is FileStatus.ADDED else old_mode
    mode = "" if status is FileStatus.DELETED else mode
    return FilePatch(path, old_path, status, hunks, False, old_mode, mode)


@settings(max_examples=150)
@given(st.lists(_patches(), max_size=3))
def test_format_and_parse_are_inverse(patches: list[FilePatch]):
    assert parse_diff("".join(map(format_patch, patches))) == tuple(patches)


@settings(max_examples=100)
@given(st.text(max_size=200))
def test_any_text_is_parsed_or_refused(text: str):
    with contextlib.suppress(DiffError):
        parse_diff(text)


def test_a_cut_diff_is_parsed_or_refused():
    for end in range(len(GIT)):
        with contextlib.suppress(DiffError):
            parse_diff(GIT[:end])
