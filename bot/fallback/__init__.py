"""Fallback modes: named sets of environment variables, and the targets they are written to."""
