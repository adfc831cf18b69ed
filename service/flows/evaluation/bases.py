"""How attribution moves with the base: the same later hunks of one repository under several bases.

``python -m service.flows.evaluation.bases MANIFEST NAME --repositories FOLDER --base LABEL=DIR --out FILE``,
with a ``--base`` each. The bases share a tokenizer, so that losses and hunks compare; a DIR has its
``routes`` folder, and ``starter`` is the embedded base. ``--independent`` adds ordinary LoRAs over the first
base, each author with an A of their own.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np

from fingerprint.evaluation.config import EvaluationConfig, Part
from fingerprint.evaluation.results import BaseCurve, BaseRow, ContrastRow, Evaluation
from fingerprint.evaluation.systems import ALM, SITES, UNDER_FIRST
from service import ServiceError
from service.flows.bench import print_steps
from service.flows.evaluation.all import evaluate_all
from service.flows.evaluation.independent import independent_row, open_setup
from service.flows.evaluation.manifest import Manifest, read_manifest
from service.settings import Settings, read_settings

if TYPE_CHECKING:
    from fingerprint.lm.load import Base
    from service.flows.evaluation.backend import Donation

HELD_OUT_TOKENS = 100_000
"""Tokens of the held-out packages that bits a byte are taken on."""
_OTHERS: tuple[Part, ...] = tuple(part for part in get_args(Part) if part != "attribution")
"""All parts but attribution."""


class BasesError(ServiceError):
    """The bases cannot be compared."""


def compare_bases(
    manifest: Manifest, folder: Path, bases: Mapping[str, str], settings: Settings,
    config: EvaluationConfig, *, heldout: Path | None = None, independent: bool = False,
    keep: Callable[[BaseCurve], None] = lambda _: None,
) -> BaseCurve:  # fmt: skip
    """Attribution of later hunks of a manifest's one repository under every base.

    Args:
        bases: directory, or "starter", by label; the others are held against the first.
        heldout: token array of held-out packages. independent: add a row of adapters that share no routes,
            over the first base. keep: is given the curve so far after every base.

    Raises:
        BasesError: two bases did not score the same hunks.
    """
    config = config.model_copy(update={"skip": _OTHERS})
    rows: list[BaseRow] = []
    first: Donation | None = None
    for label, base in bases.items():
        donated: list[Donation] = []
        own = settings.model_copy(update={"base": base})
        (found,) = evaluate_all(manifest, folder, own, config, report=print_steps, donate=donated.append)
        first = first or donated[0]
        rows.append(_row(label, base, found, found.contrasts + gain(donated[0], first), heldout))
        keep(_curve(manifest, config, rows))
        if independent and len(rows) == 1:
            setup = open_setup(manifest.repositories[0], folder, own, config, print_steps)
            rows.append(independent_row(setup, rows[0], first))
            keep(_curve(manifest, config, rows))
    return _curve(manifest, config, rows)


def _curve(manifest: Manifest, config: EvaluationConfig, rows: Sequence[BaseRow]) -> BaseCurve:
    name = manifest.repositories[0].name
    return BaseCurve(repository=name, tokens=config.tokens, rows=tuple(rows))


def without_foreign(manifest: Manifest, name: str) -> Manifest:
    """One repository, without foreign code: it would cost a team adapter of its own."""
    entry = manifest.entry(name).model_copy(update={"foreign": ""})
    return manifest.model_copy(update={"repositories": (entry,), "people": ()})


def _row(
    label: str, base: str, found: Evaluation, contrasts: tuple[ContrastRow, ...], heldout: Path | None
) -> BaseRow:
    from fingerprint.lm.load import load_base

    assert found.losses is not None, "there are authors"
    loaded = load_base(base)
    authors = [row for row in found.adapters if row.kind == "author"]
    beaten = [
        row
        for row in authors
        if row.own_loss is not None and row.base_loss is not None and row.own_loss < row.base_loss
    ]
    return BaseRow(
        base=label,
        n_parameters=sum(p.numel() for p in loaded.model.parameters()),
        dev_loss=float(np.mean(found.losses.values[found.losses.rows.index("base")])),
        heldout_bits=None if heldout is None else _bits_per_byte(loaded, heldout),
        n_improved=len(beaten),
        n_authors=len(authors),
        systems=found.attribution,
        contrasts=contrasts,
    )


def _bits_per_byte(base: Base, heldout: Path) -> float:
    from fingerprint.starter.evaluate import model_bits

    tokens = np.load(heldout)[:HELD_OUT_TOKENS]
    raw = str(base.tokenizer.decode(tokens.tolist(), skip_special_tokens=True)).encode()
    return model_bits(base.model, tokens) / len(raw)


def gain(one: Donation, first: Donation) -> tuple[ContrastRow, ...]:
    """What perplexity and the routes gain over the same under the first base; () for the first itself.

    Raises:
        BasesError: other hunks.
    """
    if one is first:
        return ()
    if one.closed.groups != first.closed.groups or (one.closed.labels != first.closed.labels).any():
        raise BasesError(
            f"expected the same hunks under every base, saw {len(one.closed.groups)} and "
            f"{len(first.closed.groups)} that differ: compare bases of one tokenizer"
        )
    names = {name: f"{name}{UNDER_FIRST}" for name in (ALM, SITES)}
    scores = {**one.peers, **{other: first.peers[name] for name, other in names.items()}}
    return tuple(row for pair in names.items() for row in one.closed.contrast(scores, *pair))


def main() -> None:
    """Compare the bases named on the command line and write the curve."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("name", help="one repository of the manifest")
    parser.add_argument("--repositories", type=Path, required=True, help="where the clones are, by name")
    parser.add_argument("--base", action="append", required=True, help="LABEL=DIR or LABEL=starter")
    parser.add_argument("--independent", action="store_true", help="a row of ordinary LoRAs besides")
    parser.add_argument("--heldout", type=Path, help="token array of held-out packages")
    parser.add_argument("--tokens", type=int, default=30_000, help="scored tokens an author")
    parser.add_argument("--samples", type=int, default=600, help="hunks judged, and of the past, at most")
    parser.add_argument("--home", type=Path, help="where results are kept")
    parser.add_argument("--out", type=Path, required=True, help="file of the curve")
    given = parser.parse_args()
    bases = dict(one.split("=", 1) for one in given.base)
    n = given.samples
    config = EvaluationConfig(tokens=given.tokens, n_null_sets=0, past_samples=n, test_samples=n)
    manifest = without_foreign(read_manifest(given.manifest), given.name)

    def keep(curve: BaseCurve) -> None:
        given.out.write_text(curve.model_dump_json() + "\n", encoding="utf-8")

    folder, settings = given.repositories, read_settings(home=given.home)
    compare_bases(
        manifest, folder, bases, settings, config, heldout=given.heldout, independent=given.independent,
        keep=keep,
    )  # fmt: skip


if __name__ == "__main__":
    main()
