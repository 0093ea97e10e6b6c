"""A local Slack and a local Anthropic that speak the real protocols, for the demo and the tests."""
