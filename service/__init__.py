"""Composition, storage and delivery: the only root that sees both connectors and fingerprint."""


class ServiceError(Exception):
    """The service cannot do what was asked; the message says what to do."""
