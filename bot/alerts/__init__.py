"""Alerts: the rules that open and resolve them, their content, and when people are notified."""
