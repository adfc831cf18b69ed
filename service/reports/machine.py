"""The answer for programs: the DriftReport's own JSON, the same from the command line and over HTTP."""

from __future__ import annotations

from fingerprint.report import DriftReport


def render(report: DriftReport) -> str:
    """Indented UTF-8 JSON, one object, ending in a line end."""
    return report.model_dump_json(indent=2) + "\n"
