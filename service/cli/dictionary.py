"""``routeprint sae``: the base's dictionary and what adapters do to its firing rates."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.console import HERE, Home, Repo, find_repository, note, settings_for, show, stages
from service.cli.labels import Asked, LabelAuthor, LabelTeam, LanguageModel, MachineFormat, show_labels

if TYPE_CHECKING:
    from fingerprint.sae.config import SaeConfig
    from service.flows.opened import OpenedProfile

sae_app = typer.Typer(
    help="The base's dictionary (a sparse autoencoder) and rate shifts.", no_args_is_help=True
)


class TextChoice(StrEnum):
    """What a dictionary is trained on."""

    BOTH = "both"
    LIBRARY = "library"
    REPOSITORY = "repository"


class Preset(StrEnum):
    """Where the dials are for."""

    TINY = "tiny"
    FULL = "full"


class Layout(StrEnum):
    """Whose format a dictionary is exported in."""

    SAELENS = "saelens"
    SPARSIFY = "sparsify"


FormatOption = Annotated[MachineFormat, typer.Option("--format", help="How the answer is written.")]
PresetOption = Annotated[
    Preset, typer.Option("--preset", help="Dials: tiny for the embedded base, full for a 1.5B base on a GPU.")
]
PlotOption = Annotated[
    Path | None,
    typer.Option("--plot", help="Draw the figure here (.svg or .png; needs matplotlib).", show_default=False),
]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (train, quality, shift, labels, export):
        sae_app.command()(command)
    app.add_typer(sae_app, name="sae")


def train(
    repo: Repo = HERE,
    home: Home = None,
    preset: PresetOption = Preset.TINY,
    on: Annotated[
        TextChoice,
        typer.Option(
            "--on", help="Text: the repository's training slice, Python's standard library, or both."
        ),
    ] = TextChoice.BOTH,
    layer: Annotated[int | None, typer.Option(min=0, help="Block whose output is read, from 0.")] = None,
    latents: Annotated[int | None, typer.Option(min=1, help="Dictionary size.")] = None,
    k: Annotated[int | None, typer.Option(min=1, help="Latents that may fire on one token.")] = None,
    tokens: Annotated[int | None, typer.Option(min=1, help="Activations trained on.")] = None,
    seed: Annotated[int, typer.Option(help="First weights and the order of the text.")] = 0,
    form: FormatOption = MachineFormat.TEXT,
) -> None:
    """Train the dictionary of a profile's base, or find it; a killed run goes on where it stopped.

    A dictionary belongs to one revision of the base: after the base has changed, run this again.
    """
    from service.cli.dictionary_tables import render_training
    from service.flows.dictionary import train_dictionary

    chosen = {"layer": layer, "n_latents": latents, "k": k, "tokens": tokens, "seed": seed}
    config = _sae_config(preset, {name: value for name, value in chosen.items() if value is not None})
    with stages() as report:
        found = train_dictionary(_open(repo, home, report), config, on.value)
    if form is MachineFormat.JSON:
        _show_json({"digest": found.digest, **found.facts})
    else:
        show(render_training(found.facts))


def quality(
    repo: Repo = HERE,
    home: Home = None,
    tokens: Annotated[int, typer.Option(min=1, help="Tokens of unread code, about.")] = 16_000,
    form: FormatOption = MachineFormat.TEXT,
) -> None:
    """Measure what the dictionary reconstructs of the team's newest code, and what the model loses by it."""
    from service.cli.dictionary_tables import render_quality
    from service.flows.dictionary import load_dictionary, measure_dictionary

    with stages() as report:
        opened = _open(repo, home, report)
        found = measure_dictionary(opened, load_dictionary(opened), tokens)
    if form is MachineFormat.JSON:
        names = ("increase", "recovered", "recovered_from_mean")
        _show_json(asdict(found) | {"derived": {name: getattr(found.loss, name) for name in names}})
    else:
        show(render_quality(found))


def shift(
    repo: Repo = HERE,
    home: Home = None,
    preset: PresetOption = Preset.TINY,
    author: Annotated[
        str | None, typer.Option("--author", help="Show one author's latents (key, name or address).")
    ] = None,
    team: Annotated[bool, typer.Option("--team", help="Show the team's latents.")] = False,
    top: Annotated[int, typer.Option(min=0, help="Latents shown.")] = 15,
    tokens: Annotated[int, typer.Option(min=1, help="Tokens of unread code, about.")] = 30_000,
    form: FormatOption = MachineFormat.TEXT,
) -> None:
    """Compare firing rates of base, team and authors on one unread text, beside the null adapters' band."""
    from fingerprint.sae.config import RateShiftConfig
    from service.cli.dictionary_tables import render_latents, render_shifts
    from service.flows.browsable import latents_of
    from service.flows.dictionary import load_dictionary
    from service.flows.labelling import find_labels
    from service.flows.rate_shift import measure_shifts

    config = RateShiftConfig.full() if preset is Preset.FULL else RateShiftConfig.tiny()
    with stages() as report:
        opened = _open(repo, home, report)
        dictionary = load_dictionary(opened)
        found = measure_shifts(opened, dictionary, config, tokens)
        words = find_labels(opened, latents_of(opened, dictionary))
    if form is MachineFormat.JSON:
        _show_json({name: one.model_dump(mode="json") for name, one in found.items()})
        return
    for part in render_shifts(found):
        show(part)
    wanted = ["team"] if team else []
    if author is not None:
        wanted.append(opened.author_of(author))
    if wanted and words is None:
        note("`routeprint sae labels` puts words to these numbers.")
    for name in wanted:
        show(render_latents(name, found[name], top, words))


def labels(
    repo: Repo = HERE,
    home: Home = None,
    author: LabelAuthor = None,
    team: LabelTeam = False,
    page: Annotated[int, typer.Option(min=0, help="Page of fifty latents, from 0.")] = 0,
    latent: Annotated[int | None, typer.Option(min=0, help="Show all that is kept of one latent.")] = None,
    language_model: LanguageModel = False,
    form: FormatOption = MachineFormat.TEXT,
    browse: Annotated[
        Path | None, typer.Option("--browse", help="Write all latents here, as a page that searches.")
    ] = None,
) -> None:
    """Name the latents, with what each name is worth: detection and intruder test on newer code.

    Without --author or --team the base is read. Of an adapted state, labels of the base too are marked.
    """
    from service.flows.browsable import latents_of
    from service.flows.dictionary import load_dictionary

    asked = Asked(("sae", "labels"), repo, home, author, team, page, language_model, form, browse)
    show_labels(asked, lambda opened: (latents_of(opened, load_dictionary(opened)), latent))


def export(
    out: Annotated[
        Path,
        typer.Argument(
            help="Folder; a folder of the format's own name is written in it.", show_default=False
        ),
    ],
    repo: Repo = HERE,
    home: Home = None,
    to: Annotated[Layout, typer.Option("--to", help="Whose format.")] = Layout.SAELENS,
) -> None:
    """Write the dictionary in the format of SAELens or of sparsify (whose folder is named for the layer)."""
    from fingerprint.sae.export import export_saelens, export_sparsify
    from service.flows.dictionary import load_dictionary

    with stages() as report:
        dictionary = load_dictionary(_open(repo, home, report))
    if to is Layout.SAELENS:
        place = out.expanduser() / "saelens"
        export_saelens(dictionary.sae, place)
    else:
        place = out.expanduser() / f"layers.{dictionary.sae.layer}"
        export_sparsify(dictionary.sae, place)
    show(f"{place}\n")


def _open(repo: Path, home: Path | None, report: Any) -> OpenedProfile:
    from service.flows.opened import open_profile

    return open_profile(find_repository(repo), settings_for(home), report)


def _sae_config(preset: Preset, chosen: dict[str, int]) -> SaeConfig:
    """The preset with what the command says.

    Raises:
        ServiceError: dials that do not go together.
    """
    from pydantic import ValidationError

    from fingerprint.sae.config import SaeConfig
    from service import ServiceError

    start = SaeConfig.full() if preset is Preset.FULL else SaeConfig.tiny()
    if "tokens" in chosen:  # small runs must still fill their chunks
        chosen["shuffle_tokens"] = max(start.batch_tokens, min(start.shuffle_tokens, chosen["tokens"]))
    try:
        return SaeConfig.model_validate(start.model_dump() | chosen)
    except ValidationError as error:
        raise ServiceError("; ".join(str(e["msg"]) for e in error.errors())) from error


def _show_json(value: object) -> None:
    show(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
