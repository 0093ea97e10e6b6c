"""Sources of token counts: Anthropic's usage APIs and recorded responses."""
