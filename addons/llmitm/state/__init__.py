"""Counters that may be shared."""
