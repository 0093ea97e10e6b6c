"""Where a mode's environment variables are written."""
