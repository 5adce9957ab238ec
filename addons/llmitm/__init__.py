"""LLM in the middle: a gateway between applications and LLM providers that you can see through."""

import sys

__version__ = "0.1.0"

if sys.version_info < (3, 12):  # noqa: UP036  an old Python may still import the sources
    sys.exit("llmitm needs Python 3.12 or newer; this is Python " + sys.version.split()[0])
