from __future__ import annotations

import json

from connectors.duplicates import DuplicateIndex

TEXT = [f"    result_{'x' * (n % 5)} = compute(step={n})" for n in range(40)]


def test_another_authors_text_is_a_duplicate_even_with_small_edits():
    index = DuplicateIndex()
    assert not index.claim("human:a", TEXT)
    assert not index.claim("human:a", TEXT)  # one's own text again is not
    edited = [*TEXT[:20], "one_new_line()", *TEXT[20:]]
    assert index.claim("human:b", [line.strip() for line in edited])
    assert not index.claim("human:b", TEXT[:10] + [f"other({n})" for n in range(40)])


def test_it_survives_json_with_its_memory():
    index = DuplicateIndex()
    index.claim("human:a", TEXT)
    again = DuplicateIndex.from_json(json.loads(json.dumps(index.to_json())))
    assert again.claim("human:b", TEXT)


def test_short_text_is_never_a_duplicate():
    index = DuplicateIndex()
    index.claim("human:a", ["return None", "}"])
    assert not index.claim("human:b", ["return None", "}"])
