"""Markdown cut to a limit so that it still renders: whole lines, whole characters, nothing left open."""

from __future__ import annotations

import re

CUT = "… cut here; the rest is in the report."
_TAGS = ("<details", "</details>", "<summary")
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})(.*)$")


def clip(markdown: str, limit: int) -> str:
    """At most ``limit`` bytes of UTF-8, with open code blocks and ``<details>`` closed and the cut said.

    GitHub counts characters in places and bytes in others; bytes are never fewer.
    """
    if n_bytes(markdown) <= limit:
        return markdown
    lines = markdown.splitlines()
    closing = _closing(lines)  # what is open after each number of lines
    low, high = 0, len(lines)
    while low < high:
        middle = (low + high + 1) // 2
        if n_bytes(_ended(lines[:middle], closing[middle])) <= limit:
            low = middle
        else:
            high = middle - 1
    shown = _ended(lines[:low], closing[low])
    return shown if n_bytes(shown) <= limit else cut_bytes(CUT, limit)


def cut_bytes(text: str, limit: int) -> str:
    """At most ``limit`` bytes, never half a character."""
    return text.encode("utf-8", "replace")[:limit].decode("utf-8", "ignore")


def n_bytes(text: str) -> int:
    """Bytes of UTF-8."""
    return len(text.encode("utf-8", "replace"))


def _ended(lines: list[str], closing: list[str]) -> str:
    return "\n".join([*lines, *closing, "", CUT]) + "\n"


def _closing(lines: list[str]) -> list[list[str]]:
    """For every number of lines, what closes what they leave open.

    A line that begins with one of our tags begins a block of HTML, in which a fence means nothing until a
    blank line ends it (CommonMark 4.6).
    """
    found: list[list[str]] = [[]]
    fence, depth, is_html = "", 0, False
    for line in lines:
        mark = _FENCE.match(line)
        if fence:
            is_end = mark and mark[1][0] == fence[0] and len(mark[1]) >= len(fence) and not mark[2].strip()
            fence = "" if is_end else fence
        else:
            is_html = bool(line.strip()) and (is_html or line.startswith(_TAGS))
            fence = mark[1] if mark and not is_html else ""
            depth += 0 if fence else line.count("<details") - line.count("</details>")
        ends = ["", *["</details>"] * depth] if depth > 0 else []
        found.append([*([fence] if fence else []), *ends])
    return found
