"""Looks a gateway over: what does not work, or soon will not, each with what mends it."""
