"""Digests: what a day, a week or a month came to, posted to a channel once or shown on request."""
