"""Rendering: pure functions from values to plain Block Kit dicts, each with the same as text."""
