"""The language families that code is read in: a lexer and a table of keywords for each. Torch-free.

pygments finds strings, comments and regular expressions. The keywords of the four families judged in
evaluation.md are tables of ours: its types guess (``name: Type`` is a keyword to its TypeScript lexer) and
change with its version.
"""

from __future__ import annotations

import keyword
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from typing import ClassVar

from pygments.lexer import Lexer, include, inherit
from pygments.lexers import find_lexer_class_for_filename
from pygments.lexers.go import GoLexer
from pygments.lexers.javascript import TypeScriptLexer
from pygments.lexers.python import PythonLexer
from pygments.lexers.rust import RustLexer
from pygments.token import Comment, Punctuation, String

_BLOCK_COMMENT = r"/\*(?:[\s\S]*?\*/|[\s\S]*\Z)"  # also one that the hunk cuts off


class _TypeScriptHunkLexer(TypeScriptLexer):
    """Quotes end with their line: an apostrophe in JSX text swallows nothing. Braces in templates nest."""

    tokens: ClassVar = {
        "commentsandwhitespace": [(_BLOCK_COMMENT, Comment.Multiline), inherit],
        "root": [
            (r'"(?:\\.|[^"\\\n])*"', String.Double),
            (r"'(?:\\.|[^'\\\n])*'", String.Single),
            (r"[\"']|</(?=[\w>])", Punctuation),
            inherit,
        ],
        "interp-inside": [(r"\{", Punctuation, "braces"), inherit],
        "braces": [(r"\{", Punctuation, "#push"), (r"\}", Punctuation, "#pop"), include("root")],
    }


class _GoHunkLexer(GoLexer):
    """The same for Go; a raw string or a comment may be cut off."""

    tokens: ClassVar = {
        "root": [
            (r"`[^`]*(?:`|\Z)", String),
            (r'"(?:\\.|[^"\\\n])*"', String),
            (r'"', Punctuation),
            (_BLOCK_COMMENT, Comment.Multiline),
            inherit,
        ],
    }


@dataclass(frozen=True)
class Family:
    """How the files of one language family are read.

    Attributes:
        name: "python", "typescript" (JavaScript and JSX too), "go", "rust", or pygments' name.
        keywords: reserved words and names of built-in types; None: pygments' own judgement.
        soft_keywords: kept only where pygments reads a keyword.
        after_dot: keywords that stay keywords after a dot.
        quotes: delimiters of strings that span lines and that a hunk may begin inside of.
        has_block_comments: whether ``/* */`` is a comment.
    """

    name: str
    lexer: Lexer
    keywords: frozenset[str] | None = None
    soft_keywords: frozenset[str] = frozenset()
    after_dot: frozenset[str] = frozenset()
    quotes: tuple[str, ...] = ()
    has_block_comments: bool = False


PYTHON = Family(
    "python",
    PythonLexer(),
    frozenset(keyword.kwlist),
    soft_keywords=frozenset({"match", "case"}),
    quotes=('"""', "'''"),
)
# ECMA-262 reserved words, TypeScript's contextual ones that seldom name anything, and its basic types
_TYPESCRIPT = Family(
    "typescript",
    _TypeScriptHunkLexer(),
    frozenset(
        "abstract any as asserts async await bigint boolean break case catch class const constructor"
        " continue debugger declare default delete do else enum export extends false finally for from"
        " function if implements import in infer instanceof interface is keyof let namespace never new"
        " null number object of override package private protected public readonly return satisfies"
        " static string super switch symbol this throw true try type typeof undefined unique unknown"
        " var void while with yield".split()
    ),
    quotes=("`",),
    has_block_comments=True,
)
# go.dev/ref/spec: keywords, predeclared types and constants
_GO = Family(
    "go",
    _GoHunkLexer(),
    frozenset(
        "break case chan const continue default defer else fallthrough for func go goto if import"
        " interface map package range return select struct switch type var any bool byte comparable"
        " complex64 complex128 error float32 float64 int int8 int16 int32 int64 rune string uint uint8"
        " uint16 uint32 uint64 uintptr true false iota nil".split()
    ),
    quotes=("`",),
    has_block_comments=True,
)
# doc.rust-lang.org/reference: strict and reserved keywords, weak ones that head items, primitive types
_RUST = Family(
    "rust",
    RustLexer(),
    frozenset(
        "as async await break const continue crate dyn else enum extern false fn for if impl in let"
        " loop match mod move mut pub ref return self Self static struct super trait true type unsafe"
        " use where while abstract become box do final macro override priv try typeof unsized virtual"
        " yield macro_rules union bool char str u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize"
        " f32 f64".split()
    ),
    after_dot=frozenset({"await"}),
    has_block_comments=True,
)
_FAMILIES = {
    suffix: family
    for family, suffixes in (
        (PYTHON, "py pyi pyw"),
        (_TYPESCRIPT, "ts tsx mts cts js jsx mjs cjs"),
        (_GO, "go"),
        (_RUST, "rs"),
    )
    for suffix in suffixes.split()
}


@lru_cache(maxsize=1024)
def family_of(path: str) -> Family | None:
    """The family of a file, by its path; other languages as pygments guesses; None: unknown to it."""
    name = PurePosixPath(path).name
    own = _FAMILIES.get(PurePosixPath(name).suffix[1:].lower())
    if own is not None:
        return own
    found = find_lexer_class_for_filename(name)
    return None if found is None else Family(found.name, found())
