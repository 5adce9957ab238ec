"""A neutral request made fit for one upstream: what it cannot take is adjusted, lost or refused."""
