"""The same functions in several hands: the team's, an agent's, and an agent's that imitates the team in part.

What every hand writes of one function has one topic, so whatever tells two hands apart is habit. The
functions come from the end of the shuffled standard library, which the sample's history has not opened.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from service import ServiceError
from service.sample.people import AGENT, TEAM, Person
from service.sample.rendering import render_chunk
from service.sample.source import Chunk, read_chunks, stdlib_modules
from service.sample.style import Style

TEAM_HAND, AGENT_HAND = "team", "agent"
IMITATIONS = {"imitates half": 0.5, "imitates four fifths": 0.8}
"""Shares of the departures from a member's habits that an imitating agent gives up."""
LEAST_LINES = 12
_MOST_CHUNKS = 5


@dataclass(frozen=True, slots=True)
class Written:
    """One piece of work in every hand.

    Attributes:
        path: a file name. member: the key of the engineer who wrote the team's version. lines: by hand.
    """

    path: str
    member: str
    lines: Mapping[str, tuple[str, ...]]


def imitate(style: Style, model: Style, share: float, rng: random.Random) -> Style:
    """A style with a share of its departures from another's given up for the other's choices.

    Args:
        share: 0 keeps the style, 1 is the model's in every dimension. The fidelity stays the style's own.
    """
    own, wanted = style.choices(), model.choices()
    differing = [name for name in own if own[name] != wanted[name]]
    given_up = rng.sample(differing, round(share * len(differing)))
    return replace(style, **{name: wanted[name] for name in given_up})


def write_hands(n: int, seed: int = 0, shares: Mapping[str, float] | None = None) -> Iterator[Written]:
    """Pieces of at least ``LEAST_LINES`` lines in the hand of a member, the agent, and each imitation.

    Args:
        seed: of the sample whose history is left alone. shares: of the departures given up, by name of the
            hand.

    Raises:
        ServiceError: the standard library has fewer functions.
    """
    rng = random.Random(f"imitation {seed}")
    written = 0
    for module in reversed(stdlib_modules(seed)):
        chunks = [chunk for chunk in read_chunks(module) if not chunk.continues]
        for start in range(0, len(chunks), _MOST_CHUNKS):
            piece = _write(chunks[start : start + _MOST_CHUNKS], TEAM[written % len(TEAM)], shares or {}, rng)
            if piece is not None:
                yield piece
                written += 1
            if written == n:
                return
    raise ServiceError(
        f"the standard library here gives {written} pieces of work, {n} were asked for; ask for fewer"
    )


def _write(
    chunks: Sequence[Chunk], member: Person, shares: Mapping[str, float], rng: random.Random
) -> Written | None:
    """The first chunks that make a piece long enough in every hand; None where one cannot be rendered."""
    styles = {TEAM_HAND: member.style, AGENT_HAND: AGENT.style}
    styles |= {name: imitate(AGENT.style, member.style, share, rng) for name, share in shares.items()}
    lines: dict[str, list[str]] = {hand: [] for hand in styles}
    for chunk in chunks:
        rendered = {hand: render_chunk(chunk, style, rng) for hand, style in styles.items()}
        if any(one is None for one in rendered.values()):
            continue
        for hand, one in rendered.items():
            lines[hand] += ["", "", *(one or [])] if lines[hand] else one or []
        if min(map(len, lines.values())) >= LEAST_LINES:
            path = chunks[0].path
            return Written(path, member.key, {hand: tuple(own) for hand, own in lines.items()})
    return None
