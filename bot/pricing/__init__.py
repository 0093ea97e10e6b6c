"""What tokens cost: the dated rate card, the cost of a usage, the estimate of a workload."""
