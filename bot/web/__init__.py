"""The HTTP side: Slack's requests in HTTP mode, and health."""
