"""Fallback modes: values, and pure decisions about them."""
