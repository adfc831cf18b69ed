"""Where a pull request stands on the web: permanent links to its lines and to the report."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from service.reports.escape import code


@dataclass(frozen=True, slots=True)
class Place:
    """A scored commit.

    Attributes:
        web: the site, such as https://github.com. repository: full name. head_sha: the scored commit.
        report_url: the whole report, or None.
    """

    web: str
    repository: str
    head_sha: str
    report_url: str | None = None

    def line_url(self, path: str, line: int) -> str:
        """A link that keeps meaning this line; every character of the path is quoted."""
        repository = quote(self.repository, safe="/")
        return f"{self.web}/{repository}/blob/{quote(self.head_sha)}/{quote(path, safe='/')}#L{line}"

    def line_link(self, path: str, line: int) -> str:
        """The link as Markdown, the path in a code span. Put a word before it.

        At the start of a block, a path such as ``]: x`` would make a reference definition of it, not shown.
        """
        return f"[{code(f'{path}:{line}', 100)}]({self.line_url(path, line)})"
