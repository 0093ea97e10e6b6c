"""Where token counts come from: Anthropic's usage APIs and recorded responses."""
