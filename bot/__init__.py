"""claude-cost: what a team spends on the Claude API, its budgets, alerts and fallback mode."""
