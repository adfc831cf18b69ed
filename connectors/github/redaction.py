"""Credentials are taken out of whatever is written down."""

from __future__ import annotations

import logging
import re

# No length is assumed: tokens of installations are no longer 40 characters, and hold dots and dashes.
# https://docs.github.com/authentication/keeping-your-account-and-data-secure/about-authentication-to-github
_SECRET = re.compile(
    r"\bgh[a-z]_[\w.\-]+|\bgithub_pat_\w+|\bv1\.[0-9a-f]{40}\b|\beyJ[\w\-]+\.[\w\-]+\.[\w\-]*"
    r"|(?<=[Bb]earer )[\w.\-]+|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    re.DOTALL,
)
REDACTED = "***"


def redact(text: str) -> str:
    """The text with every credential of a known form replaced."""
    return _SECRET.sub(REDACTED, text)


class RedactingFilter(logging.Filter):
    """Rewrites a record before any handler sees it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through, redacted."""
        record.msg, record.args = redact(record.getMessage()), None
        return True


def redact_logger(name: str) -> logging.Logger:
    """A logger whose records are redacted. PyGithub's own writes answers in full, tokens among them."""
    logger = logging.getLogger(name)
    if not any(isinstance(found, RedactingFilter) for found in logger.filters):
        logger.addFilter(RedactingFilter())
    return logger
