"""Settings come from the environment once; the command line wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.settings import read_settings


def test_home_from_environment_and_option(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ROUTEPRINT_HOME", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert read_settings().home == tmp_path / "data" / "routeprint"
    monkeypatch.setenv("ROUTEPRINT_HOME", str(tmp_path / "home"))
    assert read_settings().home == tmp_path / "home"
    assert read_settings(home=tmp_path / "option").home == tmp_path / "option"
