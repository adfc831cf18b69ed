"""Structured logs: an event a line, JSON in a service, text on a terminal; no secrets and no code."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, WrappedLogger

from connectors.github.redaction import REDACTED, redact

_SECRET_NAMES = re.compile(
    r"authori[sz]ation|cookie|credential|digest|passw|private_?key|secret|signature_256|token(?!s|izer|$)"
)
_CODE_NAMES = {
    "added", "body", "code", "content", "contents", "diff", "excerpt", "hunk", "lines", "passage", "patch",
    "payload", "request_body", "source", "text",
}  # fmt: skip
_OURS = re.compile(r"\brp_[\w\-]{20,}")
_IN_URL = re.compile(r"(?<=://)([^/\s:@]*):[^/\s@]+(?=@)")
_LONGEST = 2000
_QUIET = ("alembic", "asyncio", "dbos", "httpcore2", "httpx2", "sqlalchemy", "uvicorn.access", "watchfiles")


def redact_event(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Take secrets and code out of an event, by the names of its fields and by the looks of its text.

    The last processor before rendering, so that nothing is added after it. A field named for code tells its
    length alone; a text that looks like a credential loses it wherever it stands.
    """
    return {name: _clean(name, value) for name, value in event.items()}


def _clean(name: str, value: Any) -> Any:
    lowered = name.lower().replace("-", "_")
    if _SECRET_NAMES.search(lowered):
        return REDACTED
    if lowered in _CODE_NAMES and isinstance(value, str | bytes):
        return f"({len(value)} not shown)"
    if isinstance(value, Mapping):
        return {str(key): _clean(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(name, inner) for inner in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return clean_text(value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value))


def clean_text(text: str) -> str:
    """A text without credentials of a known form, and not endless."""
    found = _IN_URL.sub(rf"\1:{REDACTED}", _OURS.sub(REDACTED, redact(text)))
    return found if len(found) <= _LONGEST else f"{found[:_LONGEST]}... ({len(found):,} characters)"


def configure_logs(form: Literal["auto", "json", "text"], level: str, stream: TextIO | None = None) -> None:
    """Send every log line of the process, ours and the libraries', through the same processors.

    Args:
        stream: standard error by default.
    """
    out = sys.stderr if stream is None else stream
    is_text = form == "text" or (form == "auto" and out.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _shorten_errors,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    render = structlog.dev.ConsoleRenderer() if is_text else structlog.processors.JSONRenderer()
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, redact_event, render],
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    engine = logging.getLogger("dbos")  # without a handler it brings its own, with messages of exceptions
    engine.handlers[:], engine.propagate = [handler], False
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def _shorten_errors(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Say of an exception what it is and where, without its message: that may quote what it was given."""
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    elif isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        event["error"], event["at"] = type(error).__name__, where(error)
    return event


def where(error: BaseException) -> list[str]:
    """The last places an error went through, as file, line and function."""
    places = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return places[-6:]
