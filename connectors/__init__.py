"""People, commits and pull requests. No machine learning happens in this root."""


class ConnectorError(Exception):
    """An outside system gave something a connector cannot use; the message says what to do."""
