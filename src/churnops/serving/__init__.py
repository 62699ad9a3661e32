"""Scores over HTTP, on request."""
