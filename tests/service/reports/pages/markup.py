"""Pages read back as a browser would: what elements there are, and what could make them act."""

from __future__ import annotations

import base64
import hashlib
from html.parser import HTMLParser


class Elements(HTMLParser):
    """Every element of a page with its attributes, and the text of styles and scripts.

    Attributes:
        found: (tag, attributes). inline: (tag, type, text) of styles and scripts. words: all other text.
    """

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.inline: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self._inside: tuple[str, str] | None = None
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._inside = (tag, dict(attrs).get("type") or "") if tag in {"script", "style"} else None

    def handle_endtag(self, tag: str) -> None:
        if tag in {"script", "style"}:
            self._inside = None
        if tag not in {"span", "code", "a", "mark", "strong", "sub"}:
            self.words.append(" ")

    def handle_data(self, data: str) -> None:
        if self._inside is None:
            self.words.append(data)
        else:
            self.inline.append((*self._inside, data))

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]

    def acts(self) -> list[str]:
        """Everything that other people's text must never bring about."""
        found = [
            f"<{tag}>" for tag, _ in self.found if tag in {"img", "iframe", "object", "embed", "form", "base"}
        ]
        for tag, attributes in self.found:
            found += [f"<{tag} {name}>" for name in attributes if name.startswith("on") or name == "style"]
            address = attributes.get("href") or attributes.get("src") or ""
            if address and not address.startswith(("#", "data:image/svg+xml,", "/assets/")):
                found.append(f"<{tag} {address}>")
        return found


def digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
