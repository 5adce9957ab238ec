"""A newer version in place of this one, by whoever installed this one; and back, where it does not run."""
