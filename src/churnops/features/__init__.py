"""What was known of each customer at `as_of`: every feature declared once, all computed by one query."""
