"""A web page: its parts, and the two ways of putting them together.

Served, styles and scripts are files of their own under a policy that allows nothing else. In a single file
they stand inside, and the policy in its head names each by its hash, so that what a diff or a label smuggles
in still cannot run. Neither way asks any other host for anything.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from markupsafe import Markup

from service.reports.pages.environment import render_template

_ASSETS = Path(__file__).with_name("assets")
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
SERVED_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""Content-Security-Policy that a server sends with every page: no inline script, no inline style."""


@dataclass(frozen=True)
class Bar:
    """What stands above a served page: where else to go, and who is looking.

    Attributes:
        links: (name, address). who: of the viewer, "" for nobody signed in. form_key: for the form that signs
            them out, "" where nobody can.
    """

    links: tuple[tuple[str, str], ...] = ()
    who: str = ""
    form_key: str = ""


@dataclass(frozen=True)
class WebPage:
    """One page, not yet bound to how it is delivered.

    Attributes:
        title: of the window, plain text. body: the content, escaped already. kind: a word for the page's
            head. styles, scripts: names of files in ``assets``. data: JSON for the scripts, by element id.
        reload_s: seconds after which a browser without script asks again; 0 for never.
    """

    title: str
    body: Markup
    kind: str = ""
    styles: tuple[str, ...] = ("base.css",)
    scripts: tuple[str, ...] = ("page.js",)
    data: Mapping[str, Any] = field(default_factory=dict)
    reload_s: int = 0


def render_served(page: WebPage, asset_url: Callable[[str], str], bar: Bar | None = None) -> str:
    """The page as a server sends it.

    Args:
        asset_url: address of a file of ``assets``; take ``asset_name`` into it and let browsers keep it.
    """
    return _render(page, asset_url=asset_url, policy="", inline={}, bar=bar)


def render_single_file(page: WebPage) -> str:
    """The page with everything inside, to be opened from a disk."""
    inline = {name: read_asset(name) for name in (*page.styles, *page.scripts)}
    policy = (
        f"default-src 'none'; style-src {_hashes(page.styles)}; script-src {_hashes(page.scripts)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    return _render(page, asset_url=lambda _: "", policy=policy, inline=inline)


def write_single_file(page: WebPage, path: Path) -> None:
    """Write the page in place of ``path``, whole or not at all."""
    text = render_single_file(page)
    handle, name = tempfile.mkstemp(prefix=".tmp-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        Path(name).chmod(0o644)  # mkstemp makes it private; a page is for reading
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@cache
def read_asset(name: str) -> str:
    """Text of a style or script.

    Raises:
        KeyError: no such asset; names come from code or from the URL of a served page.
    """
    if name not in asset_names():
        raise KeyError(name)
    return (_ASSETS / name).read_text(encoding="utf-8")


@cache
def asset_names() -> frozenset[str]:
    """Every file that a page may name."""
    return frozenset(path.name for path in _ASSETS.iterdir() if path.suffix in _TYPES)


def asset_type(name: str) -> str:
    """Its Content-Type."""
    return _TYPES[Path(name).suffix]


@cache
def asset_name(name: str) -> str:
    """The name with its content's digest: base.3f2a....css, safe to cache for ever."""
    path = Path(name)
    return f"{path.stem}.{hashlib.sha256(read_asset(name).encode()).hexdigest()[:12]}{path.suffix}"


@cache
def served_assets() -> Mapping[str, str]:
    """Every asset by the name it is served under."""
    return {asset_name(name): name for name in asset_names()}


def _hashes(names: tuple[str, ...]) -> str:
    """CSP source expressions of inline elements (CSP level 3, 2.3.1); 'none' without any."""
    digests = (hashlib.sha256(read_asset(name).encode()).digest() for name in names)
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests) or "'none'"


def _render(
    page: WebPage, *, asset_url: Callable[[str], str], policy: str, inline: Mapping[str, str],
    bar: Bar | None = None,
) -> str:  # fmt: skip
    # an inline element's text is hashed as it stands: neither escaped nor re-indented
    return render_template(
        "frame.html.jinja", page=page, asset_url=asset_url, policy=policy, bar=bar,
        inline={name: Markup(text) for name, text in inline.items()},  # noqa: S704 - our own files
        data={name: as_data(value) for name, value in page.data.items()},
    )  # fmt: skip


def as_data(value: Any) -> Markup:
    """JSON that no HTML parser can leave: it stands in a script element of a type that is not run."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - every character that could end the element is written as an escape
