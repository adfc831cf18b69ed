import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerprint.evaluation.formatted import carry_marks, format_passages
from fingerprint.evaluation.formatters import format_files, formatters_here
from fingerprint.evaluation.views import VIEWS, view_passages
from fingerprint.passage import Passage, passage_from_lines

HERE = formatters_here()
unparsed = pytest.mark.skipif(HERE["python"] != "ast.unparse", reason="black is installed")


def needs(family: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(family not in HERE, reason=f"no formatter for {family} here")


def a_hunk(text: str, *, path: str, section: str = "") -> Passage:
    """Lines with a sign in front: + added, blank context."""
    lines = [(line.startswith("+"), line[1:]) for line in text.strip("\n").split("\n")]
    return passage_from_lines(lines, path=path, language="", section=section)


def formatted(text: str, *, path: str, section: str = "") -> Passage:
    (seen,) = format_passages([a_hunk(text, path=path, section=section)])
    assert isinstance(seen, Passage), seen
    return seen


# -------------------------------------------------------------------------------------- marks carried


def test_marks_are_carried_over_what_a_formatter_changes() -> None:
    old, marks = ["f", "(", "'", "a", "'", ")", "x"], [True] * 6 + [False]
    new = ["f", "(", '"', "a", '"', ",", ")", ";", "x"]
    assert carry_marks(old, marks, new) == [True] * 8 + [False]


def test_a_text_that_is_another_has_no_marks() -> None:
    assert carry_marks(["a"] * 100, [True] * 100, ["b"] * 100) is None


# ----------------------------------------------------------------------------------------- Python


@unparsed
def test_python_loses_its_layout_and_keeps_its_marks() -> None:
    seen = formatted(
        """
     if a :
+        total = f( 'x',
+                   y )  # why
         return total
""",
        path="a.py",
        section="def g( x ):",
    )
    assert seen.text == "@@ .py def g(x):\nif a:\n    total = f('x', y)\n    return total\n"
    assert seen.marked == "    total = f('x', y)\n"


@unparsed
@pytest.mark.parametrize(("text", "wanted"), [
    # inside a block, and out of it
    ("+        a=1\n+    else:\n+        b=2\n+c=3", "        a = 1\n    else:\n        b = 2\nc = 3\n"),
    ("+    except E :\n+        pass", "except E:\n    pass\n"),
    # inside brackets, and breaking off in some
    ("+        a,b = 1\n+    )\n+    g( c,", "a, b=1)\ng(c\n"),
    ('+    "a":1,\n+}\n+g()', "'a': 1}\ng()\n"),
    ("+    x: int,\n+) -> None:\n+    pass", "x: int) -> None:\n    pass\n"),
    # without a body, a handler, a function to decorate, an end
    ("+if x :", "if x:\n"),
    ("+try :\n+    f()", "try:\n    f()\n"),
    ("+x=1\n+@f( 1 )", "x = 1\n\n@f(1)\n"),
    ("+def f( a,", "def f(a\n"),
    ('+def f( a ):\n+    """Says', 'def f(a):\n    """Says\n'),
])  # fmt: skip
def test_python_fragments(text: str, wanted: str) -> None:
    seen = formatted(text, path="a.py")
    assert seen.text == "@@ .py\n" + wanted
    assert seen.marked.strip() == wanted.strip()


@unparsed
def test_what_cannot_be_read_is_dropped_and_counted() -> None:
    hunks = [a_hunk(text, path="a.py") for text in ("+x = 1", "+x = = 1", "+( ]", "+# only\n x = 1")]
    viewed = view_passages([*hunks, a_hunk("+x", path="a.nothing")], "formatted")
    assert viewed.kept == (0,)
    assert viewed.reasons == {
        "no formatter for .nothing here": 1, "nothing marked remains": 1, "the formatter cannot read it": 2,
    }  # fmt: skip
    assert VIEWS["formatted"](hunks[1]) is None


EXPRESSIONS = st.recursive(
    st.sampled_from(["x", "1", "'a'", '"b"', "f()", "(not y)", "0x10"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" +", "+ ", " if z else "]), inner).map("".join),
        st.lists(inner, max_size=3).map(lambda own: "[" + " ,".join(own) + "]"),
        inner.map(lambda own: f"g( {own},k= 1 )"),
        inner.map(lambda own: f"( {own} )"),
    ),
    max_leaves=5,
)
STATEMENTS = st.one_of(
    EXPRESSIONS.map(lambda own: f"x = {own}"),
    EXPRESSIONS.map(lambda own: f"if {own} :\n    y= 2"),
    st.just("def f( a,b ) :\n\n\n    return a"),
    st.just("# a comment"),
)


@given(st.lists(STATEMENTS, min_size=1, max_size=5), st.integers(0, 3), st.integers(2, 4))
def test_formatting_twice_is_formatting_once(statements: list[str], depth: int, every: int) -> None:
    lines = [" " * 2 * depth + line for line in "\n".join(["x = 0", *statements]).split("\n")]
    pairs = [(i % every != 1, line) for i, line in enumerate(lines)]
    once = VIEWS["formatted"](passage_from_lines(pairs, path="a.py", language="", section="def f( ):"))
    assert once is not None
    assert VIEWS["formatted"](once) == once


# ------------------------------------------------------------------------------------- languages with braces


@needs("rust")
@pytest.mark.parametrize(("text", "wanted"), [
    ("+fn  f( x:u8 )->u8{x}", "fn f(x: u8) -> u8 {\n    x\n}\n"),
    ("+    let x=1;\n+    f( x )", "let x = 1;\nf(x)\n"),
    ("+    Some( x )=>1,\n+    None=>2,", "Some(x) => 1,\nNone => 2,\n"),
    ("+    a:u8,\n+    b : u8,\n+}\n+\n+fn g( ){", "    a: u8,\n    b: u8,\n}\n\nfn g() {\n"),
    ("+    }\n+    fn g( &self ){\n+        f( 1,", "}\nfn g(&self) {\n    f(\n        1,\n"),
])  # fmt: skip
def test_rust_fragments(text: str, wanted: str) -> None:
    seen = formatted(text, path="a.rs")
    assert seen.text == "@@ .rs\n" + wanted
    assert seen.marked.strip() == wanted.strip()


@needs("rust")
def test_rust_keeps_marks_and_the_order_of_lines() -> None:
    seen = formatted(" use z::Z;\n+use  a::A;\n // it stays\n+x( 1 );", path="a.rs", section="fn  g( ) {")
    assert seen.text == "@@ .rs fn g() {\nuse z::Z;\nuse a::A;\n// it stays\nx(1);\n"
    assert seen.marked == "use a::A;\nx(1);\n"


@needs("go")
@pytest.mark.parametrize(("text", "wanted"), [
    ("+func  f( x int )int{\n+return x}", "func f(x int) int {\n\treturn x\n}\n"),
    ("+\tx:=1\n+\tf( x )", "x := 1\nf(x)\n"),
    ("+\treturn  x\n+}\n+\n+func  g(){", "\treturn x\n}\n\nfunc g() {\n"),
])  # fmt: skip
def test_go_fragments(text: str, wanted: str) -> None:
    seen = formatted(text, path="a.go")
    assert seen.text == "@@ .go\n" + wanted
    assert seen.marked.strip() == wanted.strip()


@needs("typescript")
@pytest.mark.parametrize(("path", "text", "wanted"), [
    ("a.ts", "+const  x='a'", 'const x = "a";\n'),
    ("a.ts", "+  return  x\n+}\n+\n+const  y=1", "  return x;\n}\n\nconst y = 1;\n"),
    ("a.tsx", "+<a  b='c'/>\n+<d/>", '<a b="c" />\n<d />\n'),
    ("a.ts", "+ * says\n+ */\n+f( )", " * says\n */\nf();\n"),
])  # fmt: skip
def test_typescript_fragments(path: str, text: str, wanted: str) -> None:
    seen = formatted(text, path=path)
    assert seen.text.partition("\n")[2] == wanted
    assert seen.marked.strip() == wanted.strip()


@pytest.mark.parametrize(("family", "suffix", "good", "bad"), [
    pytest.param("rust", ".rs", "fn  f() {}", "fn f( {}", marks=needs("rust")),
    pytest.param("go", ".go", "package  p", "package", marks=needs("go")),
    pytest.param("typescript", ".ts", "f( )", "f(", marks=needs("typescript")),
    ("python", ".py", "f( )", "f("),
])  # fmt: skip
def test_one_bad_file_spoils_no_other(family: str, suffix: str, good: str, bad: str) -> None:
    first, second, third = format_files(family, suffix, [good + "\n", bad + "\n", good + "\n"])
    assert (
        first
        == third
        == good.replace("  ", " ").replace("( ", "(") + (";\n" if family == "typescript" else "\n")
    )
    assert second is None
