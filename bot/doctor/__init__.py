"""Checks of `doctor`: configuration, credentials, scopes, the age of data, targets and the clock."""
