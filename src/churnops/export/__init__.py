"""One graph that holds everything between a raw row and a calibrated score."""
