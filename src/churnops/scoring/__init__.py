"""Scores for a whole table at once."""
