"""One comment of ours in a conversation: found by marker and author, edited in place.

The marker alone is no proof, for anybody can write it; the author alone is none either, for another use of
the app may comment too. https://docs.github.com/rest/issues/comments
"""

from __future__ import annotations

from connectors.github import GoneError
from connectors.github.client import Client
from connectors.github.payload import Json, number, text

MAX_BODY_BYTES = 60_000  # GitHub's limit is 65,536 characters


def marker_of(repository: int, pull: int) -> str:
    """The hidden line that a comment of ours begins with."""
    return f"<!-- routeprint:v1 repo={repository} pr={pull} -->"


def upsert_comment(
    client: Client, repository: str, pull: int, body: str, *, marker: str, bot: int, known: int | None = None
) -> int:
    """Write our comment: change the one that is there, else make one. Hold a lock per pull request around it.

    Args:
        body: Markdown without the marker.
        bot: id of the account that the app writes as.
        known: id of our comment as remembered; it may be gone.

    Returns:
        The comment's id, to be remembered.
    """
    content = {"body": f"{marker}\n{body}"}
    if known is not None:
        try:
            client.patch(f"/repos/{repository}/issues/comments/{known}", content)
            return known
        except GoneError:  # somebody deleted it; another may be there
            pass
    found = find_comment(client, repository, pull, marker=marker, bot=bot)
    if found is not None:
        client.patch(f"/repos/{repository}/issues/comments/{number(found, 'id')}", content)
        return number(found, "id")
    made = client.create(
        f"/repos/{repository}/issues/{pull}/comments", content,
        find=lambda: find_comment(client, repository, pull, marker=marker, bot=bot),
    )  # fmt: skip
    return number(made, "id")


def find_comment(client: Client, repository: str, pull: int, *, marker: str, bot: int) -> Json | None:
    """Our oldest comment with this marker; younger ones, left by a race, are deleted."""
    ours = [
        comment
        for comment in client.pages(f"/repos/{repository}/issues/{pull}/comments")
        if number(comment, "user", "id") == bot and text(comment, "body").startswith(marker)
    ]
    for extra in ours[1:]:
        client.delete(f"/repos/{repository}/issues/comments/{number(extra, 'id')}")
    return ours[0] if ours else None
