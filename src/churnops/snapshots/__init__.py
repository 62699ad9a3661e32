"""Who is asked about when, over which horizon, and who had left by its end."""
