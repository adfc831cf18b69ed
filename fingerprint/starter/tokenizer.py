"""The embedded base model's tokenizer: byte-level BPE, 2,048 tokens, any bytes come back as they were.

Qwen2's pre-tokenisation with three changes, so that layout stays visible in so small a vocabulary:
no English contractions (they tear ``'text'`` into ``'t`` and ``ext'``), runs of tabs are tokens of
their own instead of sticking to the next word, and no normaliser (Qwen2 applies NFC, which changes text).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from tokenizers import Regex, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split
from tokenizers.processors import ByteLevel as ByteLevelOffsets
from tokenizers.trainers import BpeTrainer

VOCABULARY = 2_048
END_OF_TEXT = "<|endoftext|>"  # id 0: first token of every text, end of text and padding
MAX_TOKEN_CHARS = 24
MODEL = Path(__file__).with_name("model")
PATTERN = (
    r"[^\r\n\t\p{L}\p{N}]?\p{L}+"  # a word with the one space or mark before it
    r"|\p{N}"  # one digit
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*"  # punctuation, with the line ends after it
    r"|\t+"  # tabs alone
    r"|\s*[\r\n]+"  # line ends, with the blanks before them
    r"|\s+(?!\S)|\s+"  # indentation, less the one space that goes with the word
)


def train_tokenizer(texts: Iterable[str], vocabulary: int = VOCABULARY) -> Tokenizer:
    """Train on texts; the caller balances the languages."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = Sequence(
        [Split(Regex(PATTERN), behavior="isolated"), ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = ByteLevelDecoder()
    tokenizer.post_processor = ByteLevelOffsets(trim_offsets=False)
    trainer = BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(ByteLevel.alphabet()),
        max_token_length=MAX_TOKEN_CHARS,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path = MODEL) -> None:
    """Write what ``PreTrainedTokenizerFast.from_pretrained(folder)`` reads."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": END_OF_TEXT,
        "eos_token": END_OF_TEXT,
        "pad_token": END_OF_TEXT,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 4096,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def load_tokenizer(folder: Path = MODEL) -> Tokenizer:
    """The bare tokenizer, reading ``<|endoftext|>`` inside source code as plain characters."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    return tokenizer


def encode_all(tokenizer: Tokenizer, texts: Iterable[str], batch: int = 256) -> Iterator[list[int]]:
    """Token ids of each text, without the first token 0."""
    waiting: list[str] = []
    for text in texts:
        waiting.append(text)
        if len(waiting) == batch:
            yield from (encoding.ids for encoding in tokenizer.encode_batch_fast(waiting))
            waiting = []
    yield from (encoding.ids for encoding in tokenizer.encode_batch_fast(waiting))
