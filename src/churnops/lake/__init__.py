"""The lake: tables in versions that appear whole, on disk or on S3."""
