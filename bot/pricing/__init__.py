"""Prices of tokens: the dated rate card, the cost of usage, the estimate of a workload."""
