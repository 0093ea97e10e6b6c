"""Budgets, periods, spend, pace, and the pure decision what should be told."""
