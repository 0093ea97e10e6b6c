"""Budgets, periods, spend and forecasts."""
