"""Recorded usage: files of logs, transcripts and reports, read into calls."""
