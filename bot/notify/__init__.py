"""Sends notices to Slack and further destinations, and retries failures. Knows no kind of alert."""
