"""Budgets, periods, spend, forecasts, and the pure decision what should be told."""
