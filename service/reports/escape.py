"""Text of a diff made safe to show: nothing in it may act on a terminal, a page or a person.

A diff is written by someone we do not know. Its control characters could move the cursor, its
bidirectional marks could hide code (CVE-2021-42574), its markup could become links, and its
``@names`` could call people.
"""

from __future__ import annotations

import html
import re
import unicodedata

_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_MARKDOWN = re.compile(r"([\\`*_\[\]<>#|~&$])")
_CALLS = re.compile(r"(@|#|://|www\.|GH-)", re.IGNORECASE)
_ZERO_WIDTH = "\u200b"


def visible(text: str) -> str:
    """One line of plain text: tabs become four spaces, every invisible character its escape."""
    return "".join(_visible_character(character) for character in text)


def _visible_character(character: str) -> str:
    if character == "\t":
        return "    "
    if unicodedata.category(character) not in _HIDDEN:
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def shorten(text: str, width: int) -> str:
    """At most ``width`` characters, the cut marked."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


def code(text: str, width: int = 120, *, in_table: bool = False) -> str:
    """A Markdown code span holding ``text`` verbatim.

    The fence is one backtick longer than any run inside (CommonMark 6.1). ``in_table`` escapes
    pipes, which end a cell of GitHub's tables even inside code.
    """
    shown = shorten(visible(text), width)
    shown = shown.replace("|", "\\|") if in_table else shown
    if not shown.strip():
        return "(blank)"
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if shown[0] in "` " or shown[-1] in "` " else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def prose(text: str) -> str:
    """Markdown that shows ``text`` as plain words: no markup, links, mentions or references."""
    marked = _MARKDOWN.sub(r"\\\1", visible(text))
    return _CALLS.sub(lambda call: call.group(0) + _ZERO_WIDTH, marked)


def block(lines: list[str], language: str = "") -> str:
    """A fenced code block of ``lines``, its fence longer than any run of backticks inside."""
    shown = [visible(line) for line in lines]
    longest = max((len(run) for line in shown for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}{language}", *shown, fence])


def summary(text: str) -> str:
    """HTML text for a ``<summary>``: escaped, in a code element, where mentions do not act."""
    return f"<code>{html.escape(visible(text))}</code>"
