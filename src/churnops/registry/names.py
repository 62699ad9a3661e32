"""Words that churnops writes into a registry."""

CHAMPION = "champion"
"""Alias of the version that is served."""
CHALLENGER = "challenger"
"""Alias of the version that was proposed and refused."""
PREVIOUS_CHAMPION = "previous_champion"
"""Tag of a champion's version: the number of the version it replaced, to which one can go back."""
