"""Which files are code, by suffix. Prose, data, markup, styles and notebooks are not."""

from __future__ import annotations

SUFFIXES: dict[str, tuple[str, ...]] = {
    "ada": ("adb", "ads"),
    "assembly": ("asm", "s", "S"),
    "c": ("c", "h"),
    "c#": ("cs", "csx"),
    "c++": ("cc", "cpp", "cxx", "c++", "hh", "hpp", "hxx", "h++", "ipp", "inl", "tpp"),
    "clojure": ("clj", "cljs", "cljc"),
    "coffeescript": ("coffee",),
    "crystal": ("cr",),
    "cuda": ("cu", "cuh"),
    "cython": ("pyx", "pxd"),
    "d": ("d",),
    "dart": ("dart",),
    "elixir": ("ex", "exs"),
    "elm": ("elm",),
    "emacs lisp": ("el",),
    "erlang": ("erl", "hrl"),
    "f#": ("fs", "fsi", "fsx"),
    "fortran": ("f", "f90", "f95", "f03", "f08"),
    "glsl": ("glsl", "vert", "frag"),
    "go": ("go",),
    "groovy": ("groovy", "gradle"),
    "haskell": ("hs",),
    "java": ("java",),
    "javascript": ("js", "jsx", "mjs", "cjs"),
    "julia": ("jl",),
    "kotlin": ("kt", "kts"),
    "lua": ("lua", "luau"),
    "nim": ("nim",),
    "nix": ("nix",),
    "objective-c": ("m", "mm"),
    "ocaml": ("ml", "mli"),
    "perl": ("pl", "pm"),
    "php": ("php",),
    "powershell": ("ps1", "psm1"),
    "python": ("py", "pyi", "pyw"),
    "r": ("r", "R"),
    "racket": ("rkt",),
    "ruby": ("rb", "rake"),
    "rust": ("rs",),
    "scala": ("scala", "sc"),
    "scheme": ("scm", "ss"),
    "shell": ("sh", "bash", "zsh", "fish"),
    "solidity": ("sol",),
    "svelte": ("svelte",),
    "swift": ("swift",),
    "typescript": ("ts", "tsx", "mts", "cts"),
    "verilog": ("v", "sv"),
    "vhdl": ("vhd", "vhdl"),
    "vue": ("vue",),
    "zig": ("zig",),
}

_BY_SUFFIX = {suffix: language for language, suffixes in SUFFIXES.items() for suffix in suffixes}


def language_of(path: str) -> str | None:
    """Name of the code language a path's suffix stands for; None for everything that is not code."""
    name = path.rpartition("/")[2]
    stem, _, suffix = name.rpartition(".")
    if not stem:
        return None
    return _BY_SUFFIX.get(suffix) or _BY_SUFFIX.get(suffix.lower())


def code_patterns() -> tuple[str, ...]:
    """Patterns such as "*.py", as gitattributes take them, that match what ``language_of`` knows."""
    suffixes = sorted(set(_BY_SUFFIX) | {suffix.upper() for suffix in _BY_SUFFIX})
    return tuple(f"*.{suffix}" for suffix in suffixes)
