from __future__ import annotations

import json
import struct

import numpy as np
import pytest

from fingerprint.harvest.config import HarvestConfig
from fingerprint.harvest.firings import Firings
from fingerprint.harvest.store import Harvest, HarvestError, save_harvest
from fingerprint.harvest.summary import COMPONENT_TABLES
from fingerprint.harvest.tally import Tally
from fingerprint.provenance import Provenance
from tests.fingerprint.harvest.conftest import ALWAYS, NEVER, ON_THREE, SINK, HandMade, tallied

PROVENANCE = Provenance("hand", "0" * 64, "", "text", "dials", 0)


def saved(tally: Tally, directory) -> Harvest:
    groups = [("first", 3), ("second", tally.n_components - 3)]
    save_harvest(
        tally, directory, key="k", groups=groups, provenance=PROVENANCE, token_text=lambda t: f"<{t}>"
    )
    return Harvest.open(directory)


def test_a_component_reads_back(corpus, tmp_path):
    found = saved(tallied([corpus]), tmp_path / "harvest")
    one = found.components(ON_THREE, ON_THREE + 1)[0]
    assert (one.group, one.index, one.n_firings) == ("first", 1, 5)
    assert one.density == pytest.approx(5 / 11)
    assert (one.mean_strength, one.first_share) == (0.5, 0.0)
    assert [(f.text, f.count, f.precision, f.recall) for f in one.inputs] == [("<3>", 5, 1.0, 1.0)]
    assert next((p.component, p.count, p.jaccard) for p in one.partners) == (ALWAYS, 5, 5 / 11)
    assert {example.centre for example in one.examples} == {3}
    never = found.components(NEVER, NEVER + 1)[0]
    assert (never.group, never.index) == ("second", 1)
    assert (never.n_firings, never.mean_strength, never.first_share) == (0, None, None)
    assert never.examples == never.inputs == never.partners == ()


def test_a_component_of_position_0_is_known_by_its_share(corpus, tmp_path):
    """An injected sink: no count, no token, no example; its share of position 0 is one."""
    sink = saved(tallied([corpus]), tmp_path / "harvest").components(SINK, SINK + 1)[0]
    assert (sink.n_firings, sink.first_share) == (0, 1.0)
    assert sink.inputs == sink.outputs == sink.examples == ()


def test_a_page_reads_only_its_slice(tmp_path):
    """Rubbish in every other row of the file changes nothing and is never seen."""
    n = 170
    tally = Tally(n, 8, HarvestConfig(radius=2, n_examples=2, n_background=5, n_tokens=2, n_partners=2))
    windows = [HandMade.of(1, 2, 3, 4) for _ in range(3)]
    rows = np.repeat(np.arange(3), n)
    component = np.tile(np.arange(n), 3)
    strength = 1 + component.astype(np.float32)
    tally.add(windows, Firings(rows, 1 + component % 4, component, strength))
    found = saved(tally, tmp_path / "harvest")
    assert found.n_pages == 4
    before = found.page(1)
    assert [one.number for one in before] == list(range(50, 100))
    assert before[3].mean_strength == 54
    assert len(found.page(3)) == 20
    with pytest.raises(HarvestError, match="pages 0 to 3, not 4"):
        found.page(4)
    _spoil(tmp_path / "harvest" / "harvest.safetensors", 50, 100)
    again = Harvest.open(tmp_path / "harvest")
    assert again.page(1) == before
    with pytest.raises(KeyError):  # the rubbish is there: no such token
        again.components(3, 4)


def _spoil(path, first: int, last: int) -> None:
    """Overwrite all rows but first to last - 1 of the components' tables, but for counts of firings."""
    raw = bytearray(path.read_bytes())
    size = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8 : 8 + size])
    for name in set(COMPONENT_TABLES) - {"firings"}:
        start, end = header[name]["data_offsets"]
        row = (end - start) // header[name]["shape"][0]
        for a, b in ((start, start + first * row), (start + last * row, end)):
            raw[8 + size + a : 8 + size + b] = b"\x01" * (b - a)
    path.write_bytes(raw)


def test_what_cannot_be_read_is_refused(corpus, tmp_path):
    with pytest.raises(HarvestError, match="No readable harvest"):
        Harvest.open(tmp_path)
    found = saved(tallied([corpus]), tmp_path / "harvest")
    (tmp_path / "harvest" / "harvest.safetensors").unlink()
    with pytest.raises(HarvestError, match="Harvest again"):
        found.page(0)
    (tmp_path / "harvest" / "index.json").write_text(json.dumps({"format": 9}))
    with pytest.raises(HarvestError, match="format 9"):
        Harvest.open(tmp_path / "harvest")
