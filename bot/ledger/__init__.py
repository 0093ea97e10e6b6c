"""The ledger: the usage that the team's own applications log for each response."""
