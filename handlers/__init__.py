"""Slack listeners: parse, call a service, render, reply."""
