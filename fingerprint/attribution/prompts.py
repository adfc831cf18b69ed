"""Prompts whose next token shows habits in several languages, each with a fixed target. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Prompt:
    """Code to be continued.

    Attributes:
        name: short id. text: what the model reads. target: token whose logit is explained. against: token
            it is compared with, None for the logit itself.
    """

    name: str
    text: str
    target: str
    against: str | None = None


DEFAULT_PROMPTS = (
    Prompt("rust-use", "pub use crate::", "config", "error"),
    Prompt("python-import", "from dataclasses import", " dataclass", " field"),
    Prompt("typescript-export", "export const ", "get", "set"),
    Prompt("rust-drop", "impl Drop for ", "Self", "T"),
    Prompt(
        "django-profile",
        "class Profile(models.Model):\n    user = models.",
        "One",
        "Foreign",
    ),
    Prompt("python-async", "async def fetch(", "self", "url"),
    Prompt("rust-option", "trait Cache {\n    fn get(&self, key: &str) -> ", "Option", "Result"),
    Prompt("typescript-typeof", "type ButtonProps = ", "typeof", "{"),
)
"""Where a base has no single token for a target, its first piece counts."""

_BEFORE = (
    "",
    "mod config;\nmod error;\n\n",
    "mod error;\nmod config;\n\n",
    "//! The library's public face.\n\n",
    "use std::fmt;\n\n",
    "#![warn(missing_docs)]\n\nmod config;\nmod error;\nmod util;\n\n",
    "pub mod client;\npub mod server;\n\n",
    "extern crate serde;\n\nuse serde::{Deserialize, Serialize};\n\n",
    "#[cfg(test)]\nmod tests;\n\n",
    "// re-exports\n",
    "pub use crate::client::Client;\n",
    "pub use std::sync::Arc;\n",
)
PARAPHRASES = tuple(
    Prompt(f"{number}{letter}", f"{before}{opening}pub use crate::", "config", "error")
    for number, before in enumerate(_BEFORE, 1)
    for letter, opening in (("a", ""), ("b", "pub mod prelude {\n    "))
)
"""One habit asked for in 24 ways: what stands before it and how it is indented must not decide the answer."""
