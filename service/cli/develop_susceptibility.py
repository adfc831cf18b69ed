"""``routeprint develop susceptibility|view``: which components answer to which text, along checkpoints."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.console import Home, find_repository, note, settings_for, show, stages
from service.cli.develop_options import NullsOption
from service.cli.dictionary import FormatOption, MachineFormat, Preset

if TYPE_CHECKING:
    from fingerprint.development.config import SusceptibilityConfig
    from fingerprint.sae.artifact import Sae
    from service.flows.bench import Stage
    from service.flows.development.susceptibility import Susceptibility
    from service.flows.opened import OpenedProfile

Checkpoints = Annotated[
    Path | None,
    typer.Option(
        "--checkpoints",
        help="Folder of checkpoints, whole models or adapters; without, the author's recorded training.",
        show_default=False,
    ),
]
ProfiledRepo = Annotated[
    Path | None, typer.Option("--repo", help="Profiled repository whose code gives data sets.")
]
Author = Annotated[
    str | None, typer.Option("--author", help="Whose code the posterior is of (key, name or address).")
]
Pairs = Annotated[
    bool,
    typer.Option("--pairs", help="Correct and incorrect programs as data sets, as `develop mutants` has."),
]
Latents = Annotated[
    bool, typer.Option("--latents", help="Read latents of the profile's dictionary too (adapters only).")
]
PresetOption = Annotated[
    Preset, typer.Option("--preset", help="Dials: tiny for small bases on a CPU, full for a GPU.")
]
Most = Annotated[int, typer.Option("--most", min=1, help="Checkpoints read, spread over all.")]
Draws = Annotated[int | None, typer.Option(min=4, help="Draws of a chain instead of the preset's.")]
Gamma = Annotated[float | None, typer.Option(min=0.001, help="Localisation instead of the preset's.")]
Seed = Annotated[int, typer.Option(help="Of windows, routes, chains and nulls.")]


def add_to(develop_app: typer.Typer) -> None:
    """Register the commands."""
    develop_app.command()(susceptibility)
    develop_app.command()(view)


def susceptibility(
    checkpoints: Checkpoints = None,
    repo: ProfiledRepo = None,
    author: Author = None,
    pairs: Pairs = False,
    latents: Latents = False,
    preset: PresetOption = Preset.TINY,
    most: Most = 5,
    draws: Draws = None,
    gamma: Gamma = None,
    seed: Seed = 0,
    nulls: NullsOption = None,
    top: Annotated[int, typer.Option(min=0, help="Components shown.")] = 20,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Write heat maps here (png or svg).", dir_okay=False)
    ] = None,
    home: Home = None,
    form: FormatOption = MachineFormat.TEXT,
) -> None:
    """Measure how heads, MLPs, LoRA sites and latents answer to shifts of the data; resumed by checkpoint.

    Every figure has a standard error from blocks of posterior draws. An author's recorded training stands
    beside the recorded shuffled authors. Stored responses are found, not sampled.
    """
    from service.cli.susceptibility_tables import render_susceptibility, to_machine

    config = _config(preset, draws, gamma, seed)
    with stages() as report:
        study = _study(_Asked(checkpoints, repo, author, pairs, latents, most, nulls), config, home, report)
    if plot is not None:
        from fingerprint.development.plots import plot_susceptibility

        plot_susceptibility(study.responses, plot.expanduser())
        note(str(plot))
    if form is MachineFormat.JSON:
        show(json.dumps(to_machine(study), indent=2, ensure_ascii=False) + "\n")
        return
    for part in render_susceptibility(study, top):
        show(part)


def view(
    out: Annotated[
        Path, typer.Option("--out", help="The page, one file.", dir_okay=False, show_default=False)
    ],
    checkpoints: Checkpoints = None,
    repo: ProfiledRepo = None,
    author: Author = None,
    pairs: Pairs = False,
    latents: Latents = False,
    preset: PresetOption = Preset.TINY,
    most: Most = 5,
    draws: Draws = None,
    gamma: Gamma = None,
    seed: Seed = 0,
    umap: Annotated[
        bool, typer.Option("--umap/--no-umap", help="UMAP beside PCA, where the extra maps is installed.")
    ] = True,
    home: Home = None,
) -> None:
    """Map tokens and components over the checkpoints, as one page that needs no network and no script.

    It reads the same stored responses as `develop susceptibility` with the same options.
    """
    from service import ServiceError
    from service.cli.pages import show_page
    from service.flows.development.view import view_development
    from service.reports.pages.development import development_page

    if not out.expanduser().resolve().parent.is_dir():
        raise ServiceError(f"--out {out}: its folder does not exist; make it first")
    config = _config(preset, draws, gamma, seed)
    with stages() as report:
        study = _study(_Asked(checkpoints, repo, author, pairs, latents, most), config, home, report)
        seen = view_development(study, report, is_umap_wanted=umap, seed=seed)
    given = {
        "--checkpoints": checkpoints,
        "--repo": repo,
        "--author": author,
        "--draws": draws,
        "--gamma": gamma,
    }
    line = ["routeprint", "develop", "view", "--preset", preset.value]
    line += [word for name, value in given.items() if value is not None for word in (name, str(value))]
    line += [*(["--pairs"] if pairs else []), *(["--latents"] if latents else [])]
    line += ["--most", str(most), "--seed", str(seed), "--out", str(out)]
    show_page(development_page(seen, command=shlex.join(line)), out)


def _config(preset: Preset, draws: int | None, gamma: float | None, seed: int) -> SusceptibilityConfig:
    """The preset with what the command says."""
    from fingerprint.development.config import SusceptibilityConfig

    start = SusceptibilityConfig.full() if preset is Preset.FULL else SusceptibilityConfig.tiny()
    chosen = {"n_draws": draws, "gamma": gamma, "seed": seed}
    changed = {name: value for name, value in chosen.items() if value is not None}
    return start.model_copy(update={"sampler": start.sampler.model_copy(update=changed), "seed": seed})


@dataclass(frozen=True)
class _Asked:
    """What the options say of models and texts."""

    checkpoints: Path | None
    repo: Path | None
    author: str | None
    has_pairs: bool
    has_latents: bool
    most: int
    nulls: int | None = 0


def _study(
    asked: _Asked, config: SusceptibilityConfig, home: Path | None, report: Callable[[Stage], None]
) -> Susceptibility:
    from service.artifacts import ArtifactStore
    from service.flows.development.record import author_of, load_nulls
    from service.flows.development.shifts import gather_texts
    from service.flows.development.sources import open_series, read_pairs, recorded_series
    from service.flows.development.susceptibility import Sampling, measure_nulls, measure_susceptibility
    from service.flows.opened import open_profile

    settings = settings_for(home)
    opened = None if asked.repo is None else open_profile(find_repository(asked.repo), settings, report)
    key = None if opened is None or asked.author is None else author_of(opened, asked.author)
    if asked.checkpoints is None:
        series = recorded_series(opened, asked.author, asked.most)
    else:
        series = open_series(asked.checkpoints.expanduser(), opened, config, asked.most)
    told = read_pairs(settings.home, report) if asked.has_pairs else None
    texts = gather_texts(opened, key, told, seed=config.seed)
    sae = _dictionary(opened) if asked.has_latents else None
    sampling = Sampling(config, ArtifactStore(settings.home), report, sae)
    found = measure_susceptibility(series, texts, sampling)
    if opened is None or key is None or asked.checkpoints is not None:
        return found
    nulls = measure_nulls(opened, load_nulls(opened, asked.nulls), texts, asked.most, sampling)
    return replace(found, nulls=nulls)


def _dictionary(opened: OpenedProfile | None) -> Sae:
    from service import ServiceError
    from service.flows.dictionary import load_dictionary

    if opened is None:
        raise ServiceError("--latents reads the dictionary of a profile: give --repo, a profiled repository")
    return load_dictionary(opened).sae
