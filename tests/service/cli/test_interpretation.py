from __future__ import annotations

import pytest

from fingerprint.attribution.prompts import DEFAULT_PROMPTS, Prompt
from fingerprint.vpd.config import VpdConfig
from service import ServiceError
from service.cli.dictionary import Preset
from service.cli.interpretation import Importance, _asked, _config


def test_a_prompt_is_asked_alone_or_beside_the_default_ones():
    own = Prompt("prompt", "def load_", "config", "value")
    assert _asked("def load_", "config", "value", with_defaults=False) == (own,)
    assert _asked("def load_", "config", "value", with_defaults=True) == (own, *DEFAULT_PROMPTS)
    assert _asked(None, None, None, with_defaults=False) == DEFAULT_PROMPTS
    assert _asked(None, None, None, with_defaults=True) == DEFAULT_PROMPTS
    names = [prompt.name for prompt in _asked("x", "y", None, with_defaults=True)]
    assert len(set(names)) == len(names) == 9


@pytest.mark.parametrize(("prompt", "target"), [("def", None), (None, "x")])
def test_half_a_question_is_none(prompt: str | None, target: str | None):
    with pytest.raises(ServiceError, match="--target together"):
        _asked(prompt, target, None, with_defaults=False)


def test_dials_are_the_preset_s_but_for_what_is_said():
    assert _config(Preset.TINY, Importance.SMOOTH_L0, steps=None, seed=0) == VpdConfig.tiny()
    said = _config(Preset.FULL, Importance.LP, steps=7, rows=None)
    assert said == VpdConfig.full().model_copy(update={"importance": "lp", "steps": 7})
    assert VpdConfig.model_validate(said.model_dump()) == said
