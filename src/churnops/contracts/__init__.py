"""What every table that crosses a stage must look like, and the check that it does."""
