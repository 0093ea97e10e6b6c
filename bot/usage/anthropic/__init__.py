"""Anthropic's usage and cost APIs: requests, pages, responses."""
