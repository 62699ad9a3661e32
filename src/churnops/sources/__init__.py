"""Files as brands have them, in; clean tables with our names, types and grain, out."""
