"""The laws of the house that no single room can keep alone. The laws of import are run by lint-imports."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE = Path(__file__).resolve().parent.parent
ROOTS = ("service", "fingerprint", "connectors")
PROJECT = tomllib.loads((HERE / "pyproject.toml").read_text())
TORCH_CONTRACT = "no torch outside the fingerprint verbs, directly or through anything"

# A room is a direct child of a root. The torch-free ones stand in the import contract of pyproject.toml.
TORCH_USING = {
    "fingerprint.adapters",
    "fingerprint.attribution",
    "fingerprint.development",
    "fingerprint.drift",
    "fingerprint.evaluation",
    "fingerprint.harvest",
    "fingerprint.lm",
    "fingerprint.readings",
    "fingerprint.routing",
    "fingerprint.sae",
    "fingerprint.starter",
    "fingerprint.vpd",
    "fingerprint.weights",
    "service.cli",
    "service.flows",
    "service.jobs",
    "service.worker",
}
LONGEST_FILE = 450
LONGEST_FUNCTION = 60
EMPTY_NAMES = {"utils", "util", "common", "helpers", "helper", "manager", "misc"}
# Entry points only. The starter's recipe is run as a module and sets the threads of its own workers.
READS_ENVIRONMENT = {"service/settings.py", "service/cli/main.py", "fingerprint/starter/train.py"}


def tracked() -> list[Path]:
    """Every file of the project that git does not ignore."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=HERE, check=True, capture_output=True, text=True).stdout
    return [HERE / name for name in listing.split("\0") if name and (HERE / name).is_file()]


def sources(*roots: str) -> list[Path]:
    """The project's own Python files under the given roots."""
    return [path for path in tracked() if path.suffix == ".py" and path.relative_to(HERE).parts[0] in roots]


def name_of(path: Path) -> str:
    return path.relative_to(HERE).as_posix()


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_no_file_is_longer_than_a_sitting():
    long = {
        name_of(p): n
        for p in sources(*ROOTS, "tests")
        if (n := len(p.read_text().splitlines())) > LONGEST_FILE
    }
    assert long == {}


def test_no_function_is_longer_than_a_screen():
    long = {
        f"{name_of(path)}:{node.lineno} {node.name}": length
        for path in sources(*ROOTS, "tests")
        for node in functions(path)
        if (length := (node.end_lineno or node.lineno) - node.lineno + 1) > LONGEST_FUNCTION
    }
    assert long == {}


def test_no_module_has_an_empty_name():
    parts = {part for path in sources(*ROOTS) for part in path.relative_to(HERE).with_suffix("").parts}
    assert parts & EMPTY_NAMES == set()


def test_tests_mirror_the_tree():
    """tests/<path>/test_x.py stands beside a folder <path>; flows and golden files have their own."""
    own = {"flows", "golden", "gpu", "contract", "bench", "pages"}
    tests = [path.relative_to(HERE / "tests") for path in sources("tests") if path.name.startswith("test_")]
    astray = [
        str(t) for t in tests if len(t.parts) > 1 and t.parts[0] not in own and not (HERE / t.parent).is_dir()
    ]
    assert astray == []


def test_the_environment_is_read_at_the_entry_only():
    """Handing the whole environment on to a child process is not reading it."""
    reads = re.compile(r"\bos\.(getenv\b|environ(\.get\b|\[))")
    readers = {name_of(path) for path in sources(*ROOTS) if reads.search(path.read_text())}
    assert readers - READS_ENVIRONMENT == set()


def test_no_machine_path_and_no_registry_host():
    traces = re.compile(
        r"(?<![\w.])/(work|root|opt/pypi|opt/wheels)/"
        r"|\b(files\.pythonhosted\.org|pypi\.org|registry\.npmjs\.org|static\.crates\.io|proxy\.golang\.org|deb\.debian\.org)\b"
    )
    found = []
    for path in tracked():
        if path == Path(__file__).resolve() or path.suffix in {".safetensors", ".npz"}:
            continue
        match = traces.search(path.read_text(errors="replace"))
        if match:
            found.append(f"{name_of(path)}: {match[0]}")
    assert found == []


# --------------------------------------------------------------------------------------------- rooms


def rooms() -> set[str]:
    children = [child for root in ROOTS for child in (HERE / root).iterdir()]
    modules = [child for child in children if child.suffix == ".py" and child.stem != "__init__"]
    packages = [child for child in children if (child / "__init__.py").is_file()]
    return {f"{child.parent.name}.{child.stem}" for child in modules + packages}


def torch_free_sources() -> set[str]:
    contracts = PROJECT["tool"]["importlinter"]["contracts"]
    return set(next(c for c in contracts if c["name"] == TORCH_CONTRACT)["source_modules"])


def test_every_room_declares_itself_torch_free_or_torch_using():
    free = torch_free_sources()
    declared_free = {room for room in rooms() if room in free or room.split(".")[0] in free}
    assert declared_free & TORCH_USING == set()
    assert rooms() - declared_free - TORCH_USING == set()
    assert TORCH_USING - rooms() == set()


def test_torch_free_rooms_import_no_torch():
    """The static contract, run: imports made late or by name count too."""
    modules = [
        ".".join(path.relative_to(HERE).with_suffix("").parts).removesuffix(".__init__")
        for path in sources(*ROOTS)
        if not path.name.startswith("__main__")
    ]
    free = torch_free_sources()
    mine = [m for m in modules if any(m == room or m.startswith(room + ".") for room in free)]
    heavy = "', '.join({'torch', 'transformers', 'peft', 'sklearn'} & set(sys.modules))"
    script = f"import importlib, sys\nfor m in {mine!r}: importlib.import_module(m)\nsys.exit({heavy} or 0)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=HERE, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_shapes_are_checked_in_every_room_with_tensors():
    """Without the import hook wrong shapes pass silently."""
    options = PROJECT["tool"]["pytest"]["ini_options"]["addopts"]
    hooked = next(o for o in options if o.startswith("--jaxtyping-packages=")).partition("=")[2].split(",")
    assert set(hooked[:-1]) == {room for room in TORCH_USING if room.startswith("fingerprint.")}
    assert hooked[-1] == "beartype.beartype"


def is_bare_tensor(annotation: ast.expr | None) -> bool:
    """Tensor without a shape. Collections are let be: a mapping by site holds tensors of many shapes."""
    if isinstance(annotation, ast.BinOp):
        return is_bare_tensor(annotation.left) or is_bare_tensor(annotation.right)
    return "Tensor" in {getattr(annotation, "id", None), getattr(annotation, "attr", None)}


def test_every_tensor_in_a_signature_has_a_shape():
    """Functions of modules and classes; hooks nested in them see every module's shapes."""
    bare = []
    for path in sources("fingerprint"):
        body = ast.parse(path.read_text()).body
        members = [m for node in body for m in ([node] if not isinstance(node, ast.ClassDef) else node.body)]
        for node in members:
            if not isinstance(node, ast.FunctionDef):
                continue
            every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            if any(map(is_bare_tensor, [*(a.annotation for a in every), node.returns])):
                bare.append(f"{name_of(path)}:{node.lineno} {node.name}")
    assert bare == []


# ----------------------------------------------------------------------------------------- documents


def readmes() -> list[Path]:
    return [path for path in tracked() if path.suffix == ".md" and "golden" not in path.parts]


@pytest.mark.parametrize("readme", readmes(), ids=name_of)
def test_paths_in_documents_exist(readme: Path):
    """Every path in backticks that starts at the top of the tree, and every link."""
    top = {path.relative_to(HERE).parts[0] for path in tracked()}
    text = readme.read_text()
    paths = [p for p in re.findall(r"`([\w.-]+(?:/[\w.-]+)+/?)`", text) if p.split("/")[0] in top]
    links = [link for link in re.findall(r"\]\(([\w./-]+)\)", text) if "://" not in link]
    missing = [p for p in paths if not (HERE / p).exists()]
    missing += [link for link in links if not (readme.parent / link).exists()]
    assert missing == []


def file_tree() -> list[str]:
    """Paths of the README's file tree: two spaces of indentation are one level."""
    tree = re.search(r"## The tree.*?```\n(.*?)```", (HERE / "README.md").read_text(), re.DOTALL)
    assert tree, "README.md has a section 'The tree' with a fenced block"
    paths, parent = [], ""
    for line in tree[1].splitlines():
        name = line.split()[0]
        parent = parent if line.startswith("  ") else name
        paths.append(parent + name if line.startswith("  ") else name)
    return paths


def test_the_file_tree_of_the_readme_is_true_and_whole():
    shown = file_tree()
    assert [path for path in shown if not (HERE / path).exists()] == []
    named = {path.rstrip("/").removesuffix(".py").replace("/", ".") for path in shown}
    assert sorted(rooms() - named) == []


def command_lines() -> list[tuple[str, str]]:
    """(document, command line) of every `routeprint ...` in a document's code."""
    found = []
    for readme in readmes():
        text = readme.read_text()
        code = re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL)
        lines = re.findall(r"\brouteprint (?=[a-z])[^#`|\n]*", "\n".join(code))
        found += [(name_of(readme), line.strip()) for line in lines]
    return found


def test_command_lines_in_documents_name_real_commands_and_options():
    from typer.main import get_command

    from service.cli.main import app

    wrong, root = [], get_command(app)
    for document, line in command_lines():
        command, words = root, line.split()[1:]
        while words and words[0] in getattr(command, "commands", {}):
            command = getattr(command, "commands", {})[words.pop(0)]
        options = {o for p in command.params for o in [*p.opts, *p.secondary_opts]}
        is_unknown = bool(getattr(command, "commands", {}) and words and words[0].isalpha())
        if is_unknown or not set(re.findall(r"(?<= )--[\w-]+", line)) <= options | {"--help"}:
            wrong.append(f"{document}: {line}")
    assert wrong == []


def undocumented(path: Path) -> Iterator[str]:
    """Fields of the file's public classes that no docstring follows."""
    for node in ast.parse(path.read_text()).body:
        if not isinstance(node, ast.ClassDef) or node.name.startswith("_"):
            continue
        for field, following in zip(node.body, [*node.body[1:], None], strict=True):
            if isinstance(field, ast.AnnAssign) and not is_docstring(following):
                yield f"{node.name}.{ast.unparse(field.target)}"


def is_docstring(node: ast.stmt | None) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


@pytest.mark.parametrize("path", ["fingerprint/config.py", "service/settings.py"])
def test_every_dial_and_setting_is_documented(path: str):
    assert list(undocumented(HERE / path)) == []


def test_the_command_reference_is_current():
    """`make docs` writes it from the command line itself and from the settings."""
    from service.cli.reference import PLACE, render_reference

    assert PLACE.read_text() == render_reference(), "run `make docs` and commit service/cli/README.md"


def test_every_variable_the_code_names_is_in_the_reference():
    text = (HERE / "service" / "cli" / "README.md").read_text()
    named = {
        name for path in sources(*ROOTS) for name in re.findall(r"\bROUTEPRINT_[A-Z_]+\b", path.read_text())
    }
    assert sorted(name for name in named if name not in text) == []


# ------------------------------------------------------------------------------------------ the lock


def locked() -> dict[str, str]:
    lines = (HERE / "requirements.lock").read_text().splitlines()
    entries = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", entry) for entry in entries), "only name==version"
    return {canonicalize_name(entry.split("==")[0]): entry.split("==")[1] for entry in entries}


def test_the_lock_satisfies_the_project():
    project = PROJECT["project"]
    wanted = [
        *project["dependencies"],
        *project["optional-dependencies"]["dev"],
        *PROJECT["build-system"]["requires"],
    ]
    versions = locked()
    for requirement in map(Requirement, wanted):
        version = versions.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is not in requirements.lock: run `make lock`"
        assert requirement.specifier.contains(version), f"{requirement} but the lock has {version}"


def test_what_is_tested_is_what_is_locked():
    from importlib.metadata import PackageNotFoundError, version

    versions = locked()
    names = [canonicalize_name(Requirement(r).name) for r in PROJECT["project"]["dependencies"]]
    try:
        found = {name: version(name).partition("+")[0] for name in names}
    except PackageNotFoundError as error:
        pytest.fail(f"{error} is not installed: run `make test`")
    assert found == {name: versions[name] for name in names}
