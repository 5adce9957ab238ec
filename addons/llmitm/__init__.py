"""LLM in the middle: a gateway between applications and LLM providers that you can see through."""

import sys

__version__ = "0.1.0"

if sys.version_info < (3, 12):
    sys.exit("llmitm needs Python 3.12 or newer; this is Python %d.%d" % sys.version_info[:2])
