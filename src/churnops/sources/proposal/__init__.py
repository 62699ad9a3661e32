"""A first data config, proposed from what the files hold: every choice with its reason."""
