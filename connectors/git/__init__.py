"""Git repositories as a source of contributions; the only folder that imports GitPython."""

from connectors import ConnectorError


class HistoryError(ConnectorError):
    """Git could not read what was asked of it; the message holds git's own."""


class EmptyRepositoryError(HistoryError):
    """The repository has no commit on the branch that was asked for."""


class NotARepositoryError(HistoryError):
    """The path holds no git repository."""


class RewrittenHistoryError(HistoryError):
    """The last ingested commit is no longer part of the history; read it again without a state."""
