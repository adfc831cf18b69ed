"""Nouns as web pages: pure functions from what is known to one HTML text; no database, model or network."""
