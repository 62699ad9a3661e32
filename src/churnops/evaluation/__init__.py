"""Arrays in, numbers out: how good a score is, how sure we are of it, and whether the data can be trusted."""
