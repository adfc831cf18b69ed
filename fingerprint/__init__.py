"""Text, models and statistics. The top level holds torch-free nouns; sub-folders hold the verbs."""


class FingerprintError(Exception):
    """A model, corpus or signature cannot be used as asked; the message says what to do."""


class NotScoredError(FingerprintError):
    """A diff cannot be scored honestly; the message is the reason shown to the user."""
