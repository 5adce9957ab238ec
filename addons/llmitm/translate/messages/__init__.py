"""Anthropic Messages, read and written."""
