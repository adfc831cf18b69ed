import re

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from fingerprint import FingerprintError
from fingerprint.evaluation.lexing import family_of
from fingerprint.evaluation.masking import shape_of
from fingerprint.evaluation.views import VIEWS, masked, view_passages, without_comments
from fingerprint.passage import Passage, passage_from_lines


def a_passage(text: str, *, path: str, section: str = "", added: str = "") -> Passage:
    """Lines of a hunk; ``added`` has a + for each added line, all are by default."""
    lines = text.split("\n")
    signs = added or "+" * len(lines)
    pairs = [(sign == "+", line) for sign, line in zip(signs, lines, strict=True)]
    return passage_from_lines(pairs, path=path, language="", section=section)


def body(passage: Passage | None) -> str:
    assert passage is not None
    return passage.text.partition("\n")[2].removesuffix("\n")


@pytest.mark.parametrize(("name", "shape"), [
    ("i", "1l"), ("T", "1L"), ("run", "1w"), ("load", "2w"), ("load_all", "3s"), ("loadAll", "2c"),
    ("LoadAll", "2P"), ("LOAD_ALL", "3C"), ("URL", "1C"), ("Load_All", "3m"), ("__init__", "2d"),
    ("_load_all", "3_s"), ("__load", "2__w"), ("class_", "2w_"), ("_", "1_"), ("$el", "1$w"),
    ("_1", "1_o"), ("Ürün", "2P"), ("x1", "1w"), ("a_very_long_name_indeed", "4s"),
])  # fmt: skip
def test_a_name_becomes_its_shape(name: str, shape: str) -> None:
    assert shape_of(name) == shape


# ------------------------------------------------------------------------------------ masked, by hand


def test_masked_python() -> None:
    passage = a_passage(
        '''from foo.bar import Baz as b
@app.route("/x", *ITEMS)
async def load_all(self, n: int = 0x1F) -> None:
    """Doc.

      More.
    """
    s = f"hi {name!r:>10} it's" + rb'' + ", "  # why
    return self.in_.match(1.5e-3, None) if not x else ...''',
        path="a/b.py",
        section="class Foo(Bar):  # c",
    )
    assert VIEWS["masked"](passage) == passage_from_lines(
        [(True, line) for line in '''from 1w.1w import 1P as 1l
@1w.2w("0t", *2C)
async def 3s(2w, 1l: 1w = 0n) -> None:
    """0d

      0d
    """
    1l = f"0t{2w!r:0t}0t" + rb'' + "0t"  # 0c
    return 2w.1w_.2w(0n, None) if not 1l else ...'''.split("\n")],
        path="a/b.py",
        language="",
        section="class 1P(1P):  # 0c",
    )  # fmt: skip


def test_masked_typescript() -> None:
    text = """export const Foo: FC<Props> = ({ a, bCd }) => {
  const [x, setX] = useState<string | null>(null) // state
  /* block
   * more */
  const t = `hi ${fn({ a: 1 })} and ${x}` + /ab+c/gi.test(s)
  return <div className="foo">Don't panic {x}</div>
  z.string().default('x') ? this.#y : $el"""
    wanted = """export const 1P: 1C<2P> = ({ 1l, 1c }) => {
  const [1l, 2c] = 3c<string | null>(null) // 0c
  /* 0c
   * 0c */
  const 1l = `0t${1w({ 1l: 0n })}0t${1l}` + /0r/gi.2w(1l)
  return <1w 3c="0t">1P'1l 2w {1l}</1w>
  1l.2w().2w('0t') ? this.#1l : 1$w"""
    assert body(masked(a_passage(text, path="a.tsx"))) == wanted
    assert body(masked(a_passage(text, path="a.jsx"))) == wanted


def test_masked_go() -> None:
    text = """// Package doc
func (s *Server) handleFoo(ctx context.Context, n int) (string, error) {
	x := map[string]int{"a": 1, `b
 c`: 2}
	if err := s.fooBar(ctx, 'x'); err != nil { return "", fmt.Errorf("%w", err) }
	for i := range xs[1:n] { _ = append(ys, xs...) }"""
    wanted = """// 0c
func (1l *2P) 3c(1w 2w.2P, 1l int) (string, error) {
	1l := map[string]int{"0t": 0n, `0t
 0t`: 0n}
	if 1w := 1l.2c(1w, '0t'); 1w != nil { return "", 1w.2P("0t", 1w) }
	for 1l := range 1w[0n:1l] { 1_ = 2w(1w, 1w...) }"""
    assert body(masked(a_passage(text, path="a.go"))) == wanted


def test_masked_rust() -> None:
    text = """/// Docs
#[derive(Debug, Clone)]
pub async fn load_all<'a, T: Foo>(&'a self, x: &str) -> Result<Vec<u8>, MyErr> {
    let y = x.await?.foo::<T>(1_000u32, 0..10, b"ab", r#"raw "x""#, 'c');
    /* block */ let z = self.0.1;
    match z { Some(_) => None, $name:expr }"""
    wanted = """/// 0c
#[2w(2P, 2P)]
pub async fn 3s<'1l, 1L: 1P>(&'1l self, 1l: &str) -> 2P<1P<u8>, 2P> {
    let 1l = 1l.await?.1w::<1L>(0n, 0n..0n, b"0t", r#"0t"#, '0t');
    /* 0c */ let 1l = self.0n;
    match 1l { 2P(1_) => 2P, 2$w:2w }"""
    assert body(masked(a_passage(text, path="a.rs"))) == wanted


def test_other_languages_are_read_as_pygments_guesses_or_not_at_all() -> None:
    java = a_passage('// c\npublic class Foo { int x = 1; String s = "a"; }', path="a.java")
    assert body(masked(java)) == '// 0c\npublic class 1P { int 1l = 0n; 2P 1l = "0t"; }'
    unknown = a_passage("foo bar", path="a.xyz")
    assert VIEWS["masked"](unknown) is None
    viewed = view_passages([java, unknown, java], "masked")
    assert (viewed.kept, viewed.n_dropped, viewed.reasons) == ((0, 2), 1, {"no lexer for .xyz": 1})


# ---------------------------------------------------------------------------- without comments, by hand


def test_without_comments_python() -> None:
    passage = a_passage(
        '''# gone
def f(x):  # gone
    """Gone.

    Too."""
    # gone

    y = """stays"""  # gone
    g({1:
        """stays # too"""
    })
class A:
    n: int = 1
    r"""Gone with its prefix."""''',
        path="a.py",
        section="def g():  # gone",
        added="+ +++++ ++++++",
    )
    seen = without_comments(passage)
    marked = """
    g({1:
        \"\"\"stays # too\"\"\"
    })
class A:
    n: int = 1
"""
    assert seen.text == '@@ .py def g():\ndef f(x):\n\n    y = """stays"""' + marked
    assert seen.marked == marked


def test_without_comments_of_the_others() -> None:
    rust = a_passage("/// Docs\nfn f() { // why\n    /* a */ g(); /* b */ /* c */\n}", path="a.rs")
    assert body(without_comments(rust)) == "fn f() {\n    g();\n}"
    script = a_passage("/**\n * Docs\n */\nf('// stays')\nx = <a>{/* c */}</a>", path="a.tsx")
    assert body(without_comments(script)) == "f('// stays')\nx = <a>{}</a>"
    go = a_passage("// a\n// b\nx := `/* stays */` // c", path="a.go")
    assert body(without_comments(go)) == "x := `/* stays */`"


def test_what_was_only_a_comment_is_dropped_and_counted() -> None:
    only = a_passage("# one\n# two\nx = 1", path="a.py", added="++ ")
    viewed = view_passages([only], "without comments")
    assert (viewed.passages, viewed.reasons) == ((), {"nothing marked remains": 1})


def test_a_span_that_parts_a_name_marks_the_whole_marker() -> None:
    passage = Passage("@@ .py\nload_all(value)\n", ((9, 11), (17, 19)), "a.py", "")  # lo[ad]_all(v[al]ue)
    seen = masked(passage)
    assert (seen.text, seen.spans) == ("@@ .py\n3s(2w)\n", ((7, 9), (10, 12)))


def test_an_unknown_view_is_refused() -> None:
    with pytest.raises(FingerprintError, match="Choose one of: raw, masked, without comments, formatted"):
        view_passages([], "shouted")


# ------------------------------------------------------------------------------------ in each language

EACH = {
    "python": ("a.py", [(True, "    # add one"), (True, "    total = value + 1  # why")]),
    "go": ("a.go", [(True, "func (s *Server) get(w Writer) error {"), (True, "\treturn s.store[0] // x")]),
    "rust": ("a.rs", [(True, "pub fn get(x: &str) -> u8 { /* c */ MAX }")]),
    "typescript": ("a.ts", [(True, "const total = add(value, 'one') // why")]),
}  # fmt: skip


def of_language(language: str) -> Passage:
    path, lines = EACH[language]
    return passage_from_lines(lines, path=path, language=language)


@pytest.mark.parametrize("language", EACH)
def test_masked_keeps_lines_and_operators_and_hides_names(language: str) -> None:
    (seen,) = view_passages([of_language(language)], "masked").passages
    before = of_language(language)
    assert seen.marked.count("\n") == before.marked.count("\n")
    for name in ("value", "total", "Server", "store", "MAX", "why", "add"):
        assert name not in seen.marked
    kept = {"python": "=", "go": "return", "rust": "pub fn", "typescript": "const"}[language]
    assert kept in seen.marked


def test_masked_forgets_which_names_but_not_their_shape() -> None:
    lines = [(True, "total_sum = value_one"), (True, "totalSum = x")]
    other = [(True, "other_sum = thing_two"), (True, "otherSum = y")]
    first, second = (
        view_passages([passage_from_lines(text, path="a.py", language="python")], "masked").passages[0]
        for text in (lines, other)
    )
    assert first.text == second.text


@pytest.mark.parametrize("language", EACH)
def test_without_comments_the_code_stays(language: str) -> None:
    (seen,) = view_passages([of_language(language)], "without comments").passages
    assert not any(mark in seen.marked for mark in ("why", "add one", "// x", "/* c */"))
    code = {
        "python": "total = value + 1",
        "go": "return s.store[0]",
        "rust": "MAX",
        "typescript": "add(value,",
    }
    assert code[language] in seen.marked
    assert all(seen.text[start:end].strip() for start, end in seen.spans)


def test_a_hunk_of_comments_alone_is_dropped_and_counted() -> None:
    comment = passage_from_lines([(True, "# nothing else")], path="a.py", language="python")
    seen = view_passages([of_language("python"), comment], "without comments")
    assert (len(seen.passages), seen.n_dropped, seen.kept) == (1, 1, (0,))
    assert sum(seen.reasons.values()) == 1


def test_raw_is_the_passage_and_an_unknown_view_is_named() -> None:
    passage = of_language("go")
    assert view_passages([passage], "raw").passages == (passage,)
    with pytest.raises(FingerprintError, match="no view 'blurred'"):
        view_passages([passage], "blurred")


# --------------------------------------------------------------------------------------- properties

PATHS = ["a.py", "a.ts", "a.tsx", "a.go", "a.rs"]
GUESSED = ["a.java", "a.c", "a.rb", "a.vue", "a.php", "a.sh", "a.sql", "a.html", "Makefile"]
NAMES = ["zeta_kappa", "qOmega", "Omicron", "_lambdaz", "PSI_RHO", "__tau__", "xi9"]
TOKENS = st.sampled_from([
    *NAMES, "def", "class", "if", "return", "fn", "func", "const", "=", "==", "(", ")", "{", "}", "[", "]",
    ":", ";", ",", ".", "'", '"', '"""', "'''", "`", "#", "//", "/*", "*/", "/", "\\", "${", "f'", "r\"", "1",
    "0x1F", "1.5e-3", "->", "=>", "<", ">", "</", "\n", "\n", "\n    ", " ", "  ", "#[", "r#\"", "'a", "%s",
    "@",
])  # fmt: skip
HUNKS = st.lists(TOKENS, min_size=1, max_size=60).map(" ".join)


def by_lines(text: str, path: str, every: int = 2) -> Passage:
    lines = text.split("\n")
    return a_passage(
        text, path=path, added="".join(" " if i % every == 1 else "+" for i in range(len(lines)))
    )


@given(HUNKS, st.sampled_from(PATHS))
def test_raw_is_the_passage_itself(text: str, path: str) -> None:
    passage = by_lines(text, path)
    assert VIEWS["raw"](passage) == passage


@given(HUNKS, st.sampled_from(PATHS))
def test_masked_has_no_identifier_and_keeps_the_lines(text: str, path: str) -> None:
    passage = by_lines(text, path)
    seen = VIEWS["masked"](passage)
    assume(seen is not None)
    assert seen is not None
    words = set(re.findall(r"(?<![\w$])[^\W\d][\w$]*", body(seen)))
    family = family_of(path)
    assert family is not None
    assert words <= (family.keywords or frozenset()) | {"f", "r", "b", "u", "br"}
    assert not words & set(NAMES)
    assert [len(line) - len(line.lstrip()) for line in seen.text.split("\n")] == [
        len(line) - len(line.lstrip()) for line in passage.text.split("\n")
    ]
    assert all(seen.text[place - 1] == "\n" for span in seen.spans for place in span)
    assert [seen.text[:a].count("\n") for span in seen.spans for a in span] == [
        passage.text[:a].count("\n") for span in passage.spans for a in span
    ]


@given(st.text(max_size=120), st.sampled_from([*PATHS, *GUESSED]))
@example('"""', "a.py")
@example("x = '''\n", "a.py")
@example("`", "a.ts")
@example("/*", "a.rs")
def test_any_text_has_views_or_none_and_never_raises(text: str, path: str) -> None:
    passage = by_lines(text, path, every=3)
    for name in ("masked", "without comments"):
        seen = VIEWS[name](passage)
        if seen is not None:
            assert seen.marked.strip()
            assert all(a < b <= len(seen.text) for a, b in seen.spans)
        if seen is not None and name == "masked":
            assert seen.text.count("\n") == passage.text.count("\n")


SHAPES = ["qx", "wzqy_kv", "vkwQzj", "KqzVjw", "WKQ_ZJ", "_zqk", "__wzq__", "k", "Q"]


@given(st.lists(st.sampled_from(SHAPES), min_size=4, max_size=4), st.integers(1, 5), st.sampled_from(PATHS))
def test_renaming_within_a_shape_changes_nothing(names: list[str], turn: int, path: str) -> None:
    letters = "qwzvkxj"
    to = letters[turn:] + letters[:turn]
    other = str.maketrans(letters + letters.upper(), to + to.upper())

    texts = {
        "a.py": '@{0}.{1}\ndef {1}({2}: {3} = f"{{ {2} }}"):\n    {3}[{0}] = {2}.{1}  # c\n    return {0}',
        "a.go": "func ({0} *{1}) {2}({3} int) error {{\n\t{0}, _ := {1}.{2}(`a`, {3})\n}}",
        "a.rs": 'impl<\'{0}> {1} for {2} {{\n    fn {3}(&self) -> {1} {{ {0}!("{{}}", self.{2}) }}\n}}',
    }
    text = texts.get(path, "const {0}: {1} = ({2}) => `${{ {3} }}`\nfunction {1}() {{ return {0}.{2} }}")
    renamed = [name.translate(other) for name in names]
    first, second = (masked(a_passage(text.format(*own), path=path)) for own in (names, renamed))
    assert first == second


LINES = st.lists(
    st.sampled_from(["x = 1", "if y:", "    z('#')", "", "def f():", "    return [", "]"]), min_size=1
)


@given(LINES, st.data())
def test_comments_leave_no_trace(lines: list[str], data: st.DataObject) -> None:
    commented = []
    for line in lines:
        if data.draw(st.booleans()):
            commented.append("  # one of them")
        ending = data.draw(st.sampled_from(["", "  # and it's another"])) if line else ""
        commented.append(line + ending)
    plain = VIEWS["without comments"](a_passage("\n".join(lines), path="a.py"))
    assert VIEWS["without comments"](a_passage("\n".join(commented), path="a.py")) == plain
