from __future__ import annotations

import ast
import random
from itertools import islice

import pytest

from service.sample.imitation import AGENT_HAND, LEAST_LINES, TEAM_HAND, imitate, write_hands
from service.sample.people import AGENT, MARA, TEAM
from service.sample.traces import find_traces, habits_of


def test_a_share_of_the_departures_is_given_up() -> None:
    own, wanted = AGENT.style.choices(), MARA.style.choices()
    differing = [name for name in own if own[name] != wanted[name]]
    half = imitate(AGENT.style, MARA.style, 0.5, random.Random(0)).choices()
    assert sum(half[name] == wanted[name] for name in differing) == round(len(differing) / 2)
    assert imitate(AGENT.style, MARA.style, 0.0, random.Random(0)) == AGENT.style
    assert imitate(AGENT.style, MARA.style, 1.0, random.Random(0)).choices() == wanted


@pytest.fixture(scope="module")
def written():
    return list(islice(write_hands(9, 0, {"half": 0.5, "whole": 1.0}), 9))


def test_every_hand_writes_the_same_functions(written) -> None:
    for piece in written:
        names = []
        for lines in piece.lines.values():
            body = ast.parse("\n".join(lines)).body
            names.append([node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)])
            assert len(lines) >= LEAST_LINES
        assert all(own == names[0] for own in names)
        assert set(piece.lines) == {"team", "agent", "half", "whole"}
    assert {piece.member for piece in written} == {person.key for person in TEAM}


def test_habits_fade_with_the_share(written) -> None:
    """Traces of the agent's own formatting, typing and quotes, over all pieces."""
    wanted = {"quote", "formatting", "annotations"}
    habits = [habit for habit in habits_of(AGENT.style) if habit.dimension in wanted]

    def count(hand: str) -> int:
        texts = ["\n".join(piece.lines[hand]) + "\n" for piece in written]
        return sum(len(list(find_traces(text, habit))) for text in texts for habit in habits)

    agent, half, whole, team = map(count, (AGENT_HAND, "half", "whole", TEAM_HAND))
    assert agent > half > whole and agent > 3 * team
