"""The mitmproxy door: the only folder that imports mitmproxy."""
