"""The HTTP port: Slack's requests in HTTP mode, the fallback mode for services, metrics, and health."""
