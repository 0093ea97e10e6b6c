"""Sends notices to Slack and further destinations, and retries what fails. Knows no kind of alert."""
