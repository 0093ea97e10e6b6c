"""Who has done something."""

BOT = "claude-cost"
"""Who acts where no person does. No id of a Slack user looks like it."""
