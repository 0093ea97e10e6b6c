"""Rendering: pure functions from values to plain Block Kit dicts with a text twin."""
