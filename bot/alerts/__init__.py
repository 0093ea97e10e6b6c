"""The life of an alert: its rules, what it says, and when people are notified."""
