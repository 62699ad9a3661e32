"""One file per verb: read, call, write, return a small result."""
