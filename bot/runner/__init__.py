"""The running process: start, cycle of poll, decide and deliver, and a clean end."""
