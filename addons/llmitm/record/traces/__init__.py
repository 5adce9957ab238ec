"""Traces and metrics for OpenTelemetry: what an exchange becomes, and how that gets to a collector."""
