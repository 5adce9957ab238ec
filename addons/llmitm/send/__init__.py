"""One attempt over the wire."""
