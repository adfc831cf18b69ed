"""Balance, hunk form and packed arrays."""

import random
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import typer

from fingerprint.starter import corpus, tokenizer
from fingerprint.starter.corpus import SourceFile


def file_of(package: str, n_bytes: int, path: str = "a.py") -> SourceFile:
    return SourceFile(package, "python", "train", path, "x" * n_bytes)


def numbered(n_lines: int) -> SourceFile:
    lines = [f"def f{i}():" if i % 7 == 0 else f"    use({i})" for i in range(n_lines)]
    return SourceFile("p", "python", "train", "pkg/a.py", "\n".join(lines) + "\n")


def test_fair_cap_fills_the_budget_and_keeps_the_ceiling():
    assert corpus.fair_cap([10, 100, 100], 110, 1000) == 50
    assert corpus.fair_cap([10, 100, 100], 110, 40) == 40
    assert corpus.fair_cap([10, 10], 1000, 300) == 300


def test_no_package_exceeds_its_cap_and_shares_hold():
    found = {"python": [file_of(f"p{i}", 10, f"{j}.py") for i in range(200) for j in range(50 if i else 900)]}
    chosen = corpus.balance(found, max_bytes=10_000)["python"]
    sizes = {name: sum(f.size for f in owned) for name, owned in corpus.group_by_package(chosen).items()}
    assert max(sizes.values()) <= corpus.PACKAGE_CAP * 10_000
    assert sum(sizes.values()) <= corpus.LANGUAGE_SHARE["python"] * 10_000
    assert chosen == corpus.balance(found, max_bytes=10_000)["python"]


def test_tests_are_at_most_a_fifth():
    files = [file_of("p", 10, f"tests/{i}.py") for i in range(50)] + [
        file_of("p", 10, f"{i}.py") for i in range(40)
    ]
    kept = corpus.limit_tests(files)
    assert sum(f.path.startswith("tests/") for f in kept) == 10 and len(kept) == 50


def test_hunks_are_the_file_again_with_gits_sections():
    file = numbered(500)
    hunks = corpus.hunk_documents(file, random.Random(0))
    bodies = [hunk.split("\n", 1)[1] for hunk in hunks]
    assert "".join(bodies) == file.text
    assert all(5 <= body.count("\n") <= 60 for body in bodies[:-1])
    assert hunks[0].startswith("@@ .py\n")
    lines, seen = file.text.split("\n"), bodies[0].count("\n")
    last = next(line for line in reversed(lines[:seen]) if line.startswith("def"))
    assert hunks[1].startswith(f"@@ .py {last}\n")


def test_sections_follow_gits_default_rule():
    assert corpus.section_of("class A:") == "class A:" and corpus.section_of("$x = 1  ") == "$x = 1"
    assert corpus.section_of("    def f():") == "" == corpus.section_of("// a") == corpus.section_of("")
    assert len(corpus.section_of("a" * 200)) == 80


def test_two_fifths_of_the_files_become_hunks():
    documents = corpus.training_documents([numbered(8)] * 1000, random.Random(3))
    assert sum(document.count("\n") == 9 for document in documents) > 550


@pytest.mark.parametrize("documents", [["@@ .py\nx = 1\n", "@@ .go func é()\n\treturn\n"], []])
def test_packed_arrays_hold_the_documents(tmp_path: Path, documents: list[str]):
    model = tokenizer.load_tokenizer()
    counts = corpus.write_array(tmp_path / "a", documents, model)
    tokens, offsets = np.load(tmp_path / "a.npy"), np.load(tmp_path / "a_offsets.npy")
    assert tokens.dtype == np.uint16 and counts["documents"] == len(documents) == len(offsets) - 1
    assert counts["tokens"] == len(tokens) == offsets[-1]
    parts = [tokens[start:end] for start, end in pairwise(offsets)]
    assert all(part[0] == 0 for part in parts)
    assert [model.decode(part[1:].tolist()) for part in parts] == documents


def test_a_folder_is_packed_wherever_it_lies(tmp_path: Path):
    source = tmp_path / "site-packages" / "own"
    source.mkdir(parents=True)
    (source / "a.py").write_text("".join(f"def f{i}(a):\n    return a + {i}\n\n\n" for i in range(40)))
    (source / "site-packages").mkdir()
    (source / "site-packages" / "b.py").write_text("def another(a):\n    return a\n" * 40)
    corpus.folder(tmp_path / "work", source)
    splits = [np.load(tmp_path / "work" / "packed" / f"{s}_python_offsets.npy") for s in ("train", "heldout")]
    assert sum(len(offsets) - 1 for offsets in splits) == 1


def test_a_folder_without_code_is_told(tmp_path: Path):
    for source in (tmp_path, tmp_path / "missing"):
        with pytest.raises(typer.BadParameter, match="no Python file"):
            corpus.folder(tmp_path / "work", source)
    assert not (tmp_path / "work").exists()
