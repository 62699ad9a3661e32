"""What a run leaves behind for people: `result.json` and one HTML page."""
