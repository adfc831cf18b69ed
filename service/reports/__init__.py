"""Nouns rendered for people and machines; pure."""
