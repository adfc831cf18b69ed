"""Bytes come back as they were; layout stays visible; offsets tile the text."""

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from fingerprint.starter import tokenizer

MODEL = tokenizer.load_tokenizer()


@given(st.text(max_size=200))
def test_any_text_round_trips(text: str):
    assert MODEL.decode(MODEL.encode(text).ids) == text


def test_every_byte_is_in_the_vocabulary():
    text = bytes(range(256)).decode("latin-1") + "漢字🎉\u0301"
    assert MODEL.decode(MODEL.encode(text).ids) == text
    assert MODEL.get_vocab_size() == tokenizer.VOCABULARY == len(MODEL.get_vocab())


def test_the_special_token_is_plain_text_inside_code():
    assert MODEL.token_to_id(tokenizer.END_OF_TEXT) == 0
    assert 0 not in MODEL.encode("s = '<|endoftext|>'").ids


def test_layout_tokens():
    assert MODEL.encode("\n        x").tokens[:2] == ["Ċ", "ĠĠĠĠĠĠĠ"]
    assert MODEL.encode("\t\treturn").tokens == ["ĉĉ", "return"]
    assert MODEL.encode("2024").tokens == ["2", "0", "2", "4"]


@given(st.text(st.characters(codec="ascii"), max_size=100))
def test_offsets_tile_ascii_text(text: str):
    spans = MODEL.encode(text).offsets
    assert "".join(text[start:end] for start, end in spans) == text


def test_transformers_reads_the_same_tokenizer():
    fast = PreTrainedTokenizerFast.from_pretrained(tokenizer.MODEL)
    text = "def f():\n\t\treturn 'text', 12  # don't\r\n"
    read = fast(text, return_offsets_mapping=True)
    assert read["input_ids"] == MODEL.encode(text).ids and fast.decode(read["input_ids"]) == text
    assert "".join(text[start:end] for start, end in read["offset_mapping"]) == text
    assert fast.bos_token_id == fast.eos_token_id == fast.pad_token_id == 0


def test_training_saves_what_it_loads(tmp_path: Path):
    trained = tokenizer.train_tokenizer(["def area(width):\n    return width\n"] * 50, vocabulary=300)
    tokenizer.save_tokenizer(trained, tmp_path)
    loaded = tokenizer.load_tokenizer(tmp_path)
    assert loaded.get_vocab() == trained.get_vocab() and json.loads((tmp_path / "tokenizer.json").read_text())
    assert list(tokenizer.encode_all(loaded, ["a", "b", "c"], batch=2)) == [
        loaded.encode(x).ids for x in "abc"
    ]
