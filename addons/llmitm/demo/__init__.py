"""The embedded provider, and the demonstration that runs on it."""
