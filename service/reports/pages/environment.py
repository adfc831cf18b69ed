"""The templates: everything that enters them is escaped, and nothing in them is missing silently."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from service.reports import wording
from service.reports.escape import visible


def render_template(name: str, **values: Any) -> Markup:
    """One template's text."""
    return Markup(_environment().get_template(name).render(**values))  # noqa: S704 - autoescape is on


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("service.reports.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "seen": seen,
        "nats": wording.nats,
        "probability": wording.probability,
        "percent": wording.percent,
        "plural": wording.plural,
        "thousands": lambda number: f"{number:,}",
        "signed": signed,
        "day": day,
        "moment": lambda moment: f"{moment:%Y-%m-%d %H:%M}",
        "site": site_name,
        "token": token,
    }
    return environment


def seen(text: str) -> str:
    """One line of other people's text: nothing invisible, nothing that turns the reading direction."""
    return visible(text)


def token(text: str) -> str:
    """A token with its spaces and line ends made visible."""
    return visible(text.replace("\n", "⏎").replace("\t", "⇥").replace(" ", "·")) or "(nothing)"


def signed(value: float, digits: int = 3) -> str:
    """A signed number with a true minus."""
    return f"{value:+.{digits}f}".replace("-", "−")


def day(moment: datetime | None) -> str:
    """``2026-03-04``; "not known" without one."""
    return "not known" if moment is None else f"{moment:%Y-%m-%d}"


def site_name(site: str) -> str:
    """``model.layers.3.mlp.down_proj`` as "layer 3 · mlp.down"; other names as they are."""
    _, found, rest = site.partition("layers.")
    number, dot, matrix = rest.partition(".")
    if not (found and dot and number.isdigit()):
        return visible(site)
    return f"layer {number} · {visible(matrix).replace('self_attn', 'attn').removesuffix('_proj')}"
