"""The base model's training corpus: ``python -m fingerprint.starter.corpus download|clean|pack --work DIR``.

Each step reads what the one before left in DIR and can be run again: ``download`` fetches the
packages named in packages.toml, ``clean`` writes DIR/clean/<language>.jsonl, ``pack`` balances,
trains the tokenizer when there is none, and writes token arrays to DIR/packed/. ``folder`` packs a
folder of Python instead.
"""

from __future__ import annotations

import json
import random
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from tokenizers import Tokenizer

from fingerprint.passage import passage_from_lines
from fingerprint.starter import cleaning, overlap, packages, tokenizer

SEED = 20
LANGUAGE_SHARE = {"python": 0.35, "typescript": 0.30, "go": 0.17, "rust": 0.18}
PACKAGE_CAP = 0.015  # of all training bytes
READ_BYTES = 2_500_000  # of a package without tests: more than the cap can use
TEST_SHARE = 0.2  # of a package's bytes
HUNK_SHARE = 0.4  # of the training files, given as hunks
HUNK_LINES = (5, 60)
SECTION_CHARS = 80  # where git cuts a hunk header's section
SECTION_LINE = re.compile(r"[A-Za-z_$]")
TOKENIZER_BYTES = 20_000_000
MAX_BYTES = 80_000_000

app = typer.Typer(add_completion=False, help=__doc__)
console = Console()
Work = Annotated[Path, typer.Option("--work", help="Folder for archives, cleaned text and token arrays.")]


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One cleaned file of one package."""

    package: str
    language: str
    split: str
    path: str
    text: str

    @property
    def suffix(self) -> str:
        """With its dot: ``.py``."""
        return PurePosixPath(self.path).suffix

    @property
    def size(self) -> int:
        """Bytes in UTF-8."""
        return len(self.text.encode("utf-8"))


@app.command()
def download(work: Work) -> None:
    """Fetch every package of the manifest that is not there yet."""
    failures = packages.download(packages.read_manifest().packages, work / "downloads")
    for failure in failures:
        console.print(f"[yellow]not fetched[/] {failure}")
    if failures:
        raise typer.Exit(1)


@app.command()
def clean(work: Work) -> None:
    """Read the archives, keep authored source files once, and write them by language."""
    manifest, near = packages.read_manifest(), cleaning.NearDuplicates()
    dropped: Counter[str] = Counter()
    (work / "clean").mkdir(parents=True, exist_ok=True)
    outputs = {
        name: (work / "clean" / f"{name}.jsonl").open("w", encoding="utf-8") for name in packages.LANGUAGES
    }
    # Held-out and route packages first: of two near-equal files the training copy is the one that goes.
    ordered = [p for split in ("heldout", "routes", "train") for p in manifest.of_split(split)]
    for package in track(ordered, "Cleaning"):
        for file in clean_package(package, work / "downloads", near, dropped):
            outputs[file.language].write(json.dumps(asdict(file), ensure_ascii=False) + "\n")
    for output in outputs.values():
        output.close()
    (work / "clean" / "dropped.json").write_text(json.dumps(dict(dropped.most_common()), indent=1))
    console.print(f"dropped: {dict(dropped.most_common())}")


@app.command()
def pack(
    work: Work, retrain_tokenizer: Annotated[bool, typer.Option(help="Train the tokenizer anew.")] = False
) -> None:
    """Balance, tokenise and write DIR/packed/: arrays per split and language, and meta.json."""
    files = {language: list(read_clean(work, language)) for language in packages.LANGUAGES}
    train = balance({name: [f for f in found if f.split == "train"] for name, found in files.items()})
    if retrain_tokenizer or not (tokenizer.MODEL / "tokenizer.json").exists():
        tokenizer.save_tokenizer(tokenizer.train_tokenizer(tokenizer_sample(train)))
    model, target = tokenizer.load_tokenizer(), work / "packed"
    (target / "routes").mkdir(parents=True, exist_ok=True)
    meta: dict[str, Any] = {"seed": SEED, "arrays": {}, "packages": []}
    for language, chosen in track(train.items(), "Packing"):
        documents = training_documents(chosen, random.Random(f"{SEED} {language}"))
        meta["arrays"][f"train_{language}"] = write_array(target / f"train_{language}", documents, model)
        heldout = [whole_document(f) for f in files[language] if f.split == "heldout"]
        meta["arrays"][f"heldout_{language}"] = write_array(target / f"heldout_{language}", heldout, model)
        by_package = group_by_package(f for f in files[language] if f.split == "routes")
        for name, owned in by_package.items():
            hunks = [hunk for f in owned for hunk in hunk_documents(f, random.Random(f"{SEED} {f.path}"))]
            meta["arrays"][f"routes/{name}"] = write_array(target / "routes" / name, hunks, model) | {
                "language": language
            }
    meta["packages"] = describe_packages(train, files)
    (target / "meta.json").write_text(json.dumps(meta, indent=1))
    console.print_json(data=meta["arrays"])


@app.command()
def ngrams(work: Work) -> None:
    """Write the hashed n-grams of everything the base or its routes learn from (see overlap.py)."""
    files = {language: list(read_clean(work, language)) for language in packages.LANGUAGES}
    train = balance({name: [f for f in found if f.split == "train"] for name, found in files.items()})
    learned = [f.text for chosen in train.values() for f in chosen]
    learned += [f.text for found in files.values() for f in found if f.split == "routes"]
    table = overlap.build_table(track(learned, "Hashing"))
    np.save(overlap.TABLE, table)
    console.print(
        f"{table.nbytes:,} bytes, false positives {overlap.false_positive_rate(table):.2%} per shingle"
    )


@app.command()
def folder(
    work: Work, source: Annotated[Path, typer.Option("--source", help="Folder of Python files.")]
) -> None:
    """Pack the Python files of one folder, cleaned as the packages' are, a tenth of them held out.

    For small bases of one's own, trained to be looked at while they develop.
    """
    files, near = [], cleaning.NearDuplicates()
    for path in sorted(source.rglob("*.py")):
        inner = path.relative_to(source)
        name = inner.as_posix()
        if path.is_file() and not {"site-packages", "dist-packages"} & set(inner.parts):
            text = cleaning.clean_text(path.read_bytes(), "python")
            if not _reason(name, text, is_source=True) and not near.seen(text):
                split = "heldout" if zlib.crc32(name.encode()) % 10 == 0 else "train"
                files.append(SourceFile(source.name, "python", split, name, text))
    if not files:
        raise typer.BadParameter(
            f"{source} holds no Python file that is kept: expected a folder of source code"
        )
    chosen, model, target = limit_tests(files), tokenizer.load_tokenizer(), work / "packed"
    target.mkdir(parents=True, exist_ok=True)
    counts = {}
    for split in ("train", "heldout"):
        documents = training_documents([f for f in chosen if f.split == split], random.Random(SEED))
        counts[f"{split}_python"] = write_array(target / f"{split}_python", documents, model)
    (target / "meta.json").write_text(json.dumps({"seed": SEED, "arrays": counts}, indent=1))
    console.print_json(data=counts)


def clean_package(
    package: packages.Package, downloads: Path, near: cleaning.NearDuplicates, dropped: Counter[str]
) -> Iterator[SourceFile]:
    """The package's authored files; reasons of the others are counted in ``dropped``."""
    archive = packages.archive_of(package, downloads)
    if archive is None:
        dropped["package not downloaded"] += 1
        return
    contents = dict(cleaning.read_archive(archive, package.language))
    kept = cleaning.drop_compiled(contents) if package.registry == "npm" else set(contents)
    room = READ_BYTES
    for path in sorted(contents, key=lambda path: (zlib.crc32(path.encode()), path)):  # a fixed random order
        if room <= 0:
            break
        text = cleaning.clean_text(contents[path], package.language)
        reason = _reason(path, text, path in kept) or ("near-duplicate" if near.seen(text) else "")
        if reason:
            dropped[reason] += 1
        else:
            room -= 0 if cleaning.is_test(path) else len(text)
            yield SourceFile(package.slug, package.language, package.split, path, text)


def read_clean(work: Path, language: str) -> Iterator[SourceFile]:
    """The files that ``clean`` kept, in manifest order."""
    with (work / "clean" / f"{language}.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            yield SourceFile(**json.loads(line))


def balance(files: dict[str, list[SourceFile]], max_bytes: int = MAX_BYTES) -> dict[str, list[SourceFile]]:
    """Choose training files: language shares, a cap per package, few tests; the same choice every time.

    A language that has too little keeps all it has under the caps; the others are not cut for it.
    """
    generator = random.Random(SEED)
    pools: dict[str, dict[str, list[SourceFile]]] = {}
    for language, found in files.items():
        grouped = group_by_package(found)
        pools[language] = {name: limit_tests(_shuffled(owned, generator)) for name, owned in grouped.items()}
    chosen = {}
    for language, pool in pools.items():
        sizes = {name: sum(f.size for f in owned) for name, owned in pool.items()}
        cap = fair_cap(
            list(sizes.values()), round(LANGUAGE_SHARE[language] * max_bytes), round(PACKAGE_CAP * max_bytes)
        )
        chosen[language] = [f for owned in pool.values() for f in take_bytes(owned, cap)]
    return chosen


def fair_cap(sizes: Sequence[int], budget: int, ceiling: int) -> int:
    """The largest cap, at most ``ceiling``, with which the capped sizes add up to at most ``budget``."""
    low, high = 0, ceiling
    while low < high:
        middle = (low + high + 1) // 2
        if sum(min(size, middle) for size in sizes) <= budget:
            low = middle
        else:
            high = middle - 1
    return low


def limit_tests(files: Sequence[SourceFile]) -> list[SourceFile]:
    """The files in their order, tests only as far as they stay within TEST_SHARE of the bytes."""
    own = sum(f.size for f in files if not cleaning.is_test(f.path))
    allowance = own * TEST_SHARE / (1 - TEST_SHARE)
    kept: list[SourceFile] = []
    for file in files:
        if cleaning.is_test(file.path):
            allowance -= file.size
            if allowance < 0:
                continue
        kept.append(file)
    return kept


def take_bytes(files: Iterable[SourceFile], n_bytes: int) -> list[SourceFile]:
    """Files in order, leaving out those that no longer fit."""
    kept: list[SourceFile] = []
    for file in files:
        if file.size <= n_bytes:
            n_bytes -= file.size
            kept.append(file)
    return kept


def group_by_package(files: Iterable[SourceFile]) -> dict[str, list[SourceFile]]:
    """Files by package slug, in first-seen order."""
    grouped: dict[str, list[SourceFile]] = defaultdict(list)
    for file in files:
        grouped[file.package].append(file)
    return dict(grouped)


def training_documents(files: Sequence[SourceFile], generator: random.Random) -> list[str]:
    """Whole files and files cut into hunks (each hunk a document), shuffled."""
    documents: list[str] = []
    for file in files:
        if generator.random() < HUNK_SHARE:
            documents += hunk_documents(file, generator)
        else:
            documents.append(whole_document(file))
    generator.shuffle(documents)
    return documents


def whole_document(file: SourceFile) -> str:
    """The file behind a header line, in the form of fingerprint/passage.py."""
    return f"@@ {file.suffix}\n{file.text}"


def hunk_documents(file: SourceFile, generator: random.Random) -> list[str]:
    """The file as consecutive hunks of 5 to 60 lines, each with the header that review would give it."""
    lines = file.text.removesuffix("\n").split("\n")
    documents, start, section = [], 0, ""
    while start < len(lines):
        end = min(len(lines), start + generator.randint(*HUNK_LINES))
        window = [(False, line) for line in lines[start:end]]
        documents.append(passage_from_lines(window, path=file.path, language="", section=section).text)
        section = next((section_of(line) for line in reversed(lines[start:end]) if section_of(line)), section)
        start = end
    return documents


def section_of(line: str) -> str:
    """What git's default rule prints as a hunk's section for this line, or "": see git's xdiff/xemit.c."""
    return line[:SECTION_CHARS].rstrip() if SECTION_LINE.match(line) else ""


def tokenizer_sample(train: dict[str, list[SourceFile]]) -> Iterator[str]:
    """About TOKENIZER_BYTES of training files, in the language shares."""
    for language, files in train.items():
        budget = round(LANGUAGE_SHARE[language] * TOKENIZER_BYTES)
        for file in take_bytes(_shuffled(files, random.Random(SEED)), budget):
            yield whole_document(file)


def write_array(stem: Path, documents: Sequence[str], model: Tokenizer) -> dict[str, Any]:
    """Write the documents' tokens and where they start; return what was counted.

    <stem>.npy: uint16, every document opened by 0. <stem>_offsets.npy: int64, the starts and the end.
    """
    parts, offsets = [], [0]
    for ids in tokenizer.encode_all(model, documents):
        parts.append(np.array([0, *ids], np.uint16))
        offsets.append(offsets[-1] + len(parts[-1]))
    tokens = np.concatenate(parts) if parts else np.empty(0, np.uint16)
    np.save(f"{stem}.npy", tokens)
    np.save(f"{stem}_offsets.npy", np.array(offsets, np.int64))
    n_bytes = sum(len(document.encode("utf-8")) for document in documents)
    counts = {"documents": len(documents), "bytes": n_bytes, "tokens": len(tokens)}
    return counts | {"bytes_per_token": round(n_bytes / max(len(tokens) - len(documents), 1), 3)}


def describe_packages(
    train: dict[str, list[SourceFile]], files: dict[str, list[SourceFile]]
) -> list[dict[str, Any]]:
    """The manifest's packages with the files and bytes that each gave; none for those that gave none."""
    used = [f for chosen in train.values() for f in chosen]
    used += [f for found in files.values() for f in found if f.split != "train"]
    n_files = Counter((f.language, f.package) for f in used)
    n_bytes: Counter[tuple[str, str]] = Counter()
    for file in used:
        n_bytes[file.language, file.package] += file.size
    keyed = [((p.language, p.slug), p) for p in packages.read_manifest().packages]
    return [asdict(p) | {"files": n_files[key], "bytes": n_bytes[key]} for key, p in keyed if n_files[key]]


def _reason(path: str, text: str, is_source: bool) -> str:
    if not is_source:
        return "compiled twin"
    if not text.strip():
        return "not UTF-8 or empty"
    return cleaning.reject_path(path) or cleaning.reject_text(text)


def _shuffled(files: Sequence[SourceFile], generator: random.Random) -> list[SourceFile]:
    return generator.sample(list(files), len(files))


if __name__ == "__main__":
    app()
