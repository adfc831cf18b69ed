import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerprint.evaluation.lexing import Family, family_of
from fingerprint.evaluation.parts import Kind, parts_of


def a_family(path: str) -> Family:
    family = family_of(path)
    assert family is not None
    return family


def kinds(text: str, path: str) -> list[tuple[str, str]]:
    """Kind and text of every part that is more than white space."""
    parts = parts_of(text, a_family(path))
    assert parts is not None
    return [(p.kind.value, said) for p in parts if (said := text[p.start : p.end].strip())]


def test_one_family_for_each_language() -> None:
    names = {path: a_family(path).name for path in ("a/b.py", "x.pyi", "x.tsx", "x.mjs", "x.RS", "x.go")}
    assert names == {
        "a/b.py": "python", "x.pyi": "python", "x.tsx": "typescript", "x.mjs": "typescript", "x.RS": "rust",
        "x.go": "go",
    }  # fmt: skip
    assert a_family("Main.java").name == "Java"
    assert family_of("a.nothing") is None


def test_a_string_that_is_a_statement_is_a_docstring() -> None:
    text = 'def f():\n    "Doc."\n    x = """text"""\n    """Of x."""\n    return """text"""'
    assert [kind for kind, _ in kinds(text, "a.py") if kind != "code"] == [
        "docstring", "string", "docstring", "string",
    ]  # fmt: skip


@pytest.mark.parametrize(("path", "inside", "after"), [
    ("a.py", 'more of the text here.\n    """', "\n    x = 1\n"),
    ("a.py", "    :param x: what\n    Ends here\"\"\"", "\n    def f(): pass\n"),
    ("a.py", "select x\n    where y\n    \"\"\"", ").fetch()\n    x = '''a'''\n"),
    ("a.ts", "where x = 1\n  `", ")\n  const y = `a`\n"),
    ("a.ts", " * @param x what\n */", "\nexport const x = 1\n"),
    ("a.go", "where x = 1\n`", ", args)\nx := `a`\n"),
    ("a.rs", "what is left of it */", "\nfn f() {}\n"),
])  # fmt: skip
def test_a_hunk_that_begins_inside_is_read_from_there(path: str, inside: str, after: str) -> None:
    (first, said), (second, _), *_ = kinds(inside + after, path)
    assert first in {"string", "docstring", "comment"}
    assert said == inside.strip()
    assert second == "code"


@pytest.mark.parametrize(("path", "text"), [
    ("a.py", 'x = f(1)\n    """\n    Opens here: the above is no sentence.\n    """\n'),
    ("a.py", 'def f(x):  # why\n    """\n    Opens, and is cut off\n'),
    ("a.py", '"""\nA module says what it is for.\n'),
    ("a.py", 'assert """\na\n""" == b\n'),
    ("a.ts", "const q = gql`\n  query { x }\n"),
    ("a.ts", "glob('src/**/*.ts')\n"),
    ("a.go", "x := *y / *z\nquery(`\nselect 1\n"),
])  # fmt: skip
def test_a_hunk_that_begins_outside_is_read_as_code(path: str, text: str) -> None:
    first, _ = kinds(text, path)[0]
    assert first == ("docstring" if text.startswith('"""') else "code")


def test_the_middle_of_a_docstring_is_known_by_its_sentences() -> None:
    text = "    The scan costs one backward pass for all.\n    It only makes a short list of them.\n"
    assert [kind for kind, _ in kinds(text, "a.py")] == ["docstring"]
    assert [kind for kind, _ in kinds("if x is not None and y:\n    return x\n", "a.py")] == ["code"]


def test_an_apostrophe_in_markup_swallows_nothing() -> None:
    assert kinds("<a>Don't</a>\nconst x = 1 // it's\n", "a.tsx")[-1] == ("comment", "// it's")


@given(
    st.text(alphabet="ab1 \n\t'\"`#/*\\{}()$:.", max_size=60),
    st.sampled_from(["a.py", "a.ts", "a.go", "a.rs"]),
)
def test_parts_tile_the_text(text: str, path: str) -> None:
    parts = parts_of(text, a_family(path))
    assert parts is not None
    assert "".join(text[part.start : part.end] for part in parts) == text
    assert all(part.end > part.start for part in parts)
    assert all(Kind(part.kind) is part.kind for part in parts)
