"""Correct functions and mutants of them, told apart by running their tests."""
