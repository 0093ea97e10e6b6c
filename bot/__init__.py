"""claude-cost: tracks what a team spends on the Claude API, with budgets, alerts and a fallback mode."""
