"""Options that several of ``routeprint develop`` share."""

from __future__ import annotations

from typing import Annotated

import typer

NullsOption = Annotated[
    int | None,
    typer.Option(
        "--nulls",
        min=0,
        help="Recorded shuffled authors that stand beside an author, at most; default: all.",
        show_default=False,
    ),
]
