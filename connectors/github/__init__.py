"""GitHub as an app sees it; the only folder that imports PyGithub."""

from connectors import ConnectorError


class GitHubError(ConnectorError):
    """GitHub did not do what was asked; the message says what it answered and what to do."""


class RefusedError(GitHubError):
    """GitHub understood and said no: a permission is missing, or the request is not valid. Do not repeat.

    Attributes:
        status: of the answer, or 0 when GitHub was not asked.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class GoneError(GitHubError):
    """There is no such thing any more, or the app may not see it."""


class RateLimitedError(GitHubError):
    """A limit is reached and the wait is longer than was allowed.

    Attributes:
        wait_s: seconds after which the request may be made again.
    """

    def __init__(self, message: str, wait_s: float) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class UnavailableError(GitHubError):
    """GitHub could not be reached or failed, also after retries. Try again later."""


class WebhookError(ConnectorError):
    """A delivery that must not be acted on."""
