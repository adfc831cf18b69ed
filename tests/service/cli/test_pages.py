from __future__ import annotations

from pathlib import Path

import pytest

from service import ServiceError
from service.cli.pages import cards_beside


def test_cards_are_linked_from_the_folder_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    cards = tmp_path / "pages" / "my cards.html"
    cards.parent.mkdir()
    assert cards_beside(None, None) == {}
    with pytest.raises(ServiceError, match="no such file; `routeprint decompose labels --browse`"):
        cards_beside(cards, None)
    cards.touch()
    assert cards_beside(cards, tmp_path / "graph.html") == {"lora": "pages/my%20cards.html"}
    assert cards_beside(cards, cards.parent / "graph.html") == {"lora": "my%20cards.html"}
    monkeypatch.chdir(tmp_path)
    assert cards_beside(Path("pages/my cards.html"), None) == {"lora": "pages/my%20cards.html"}
