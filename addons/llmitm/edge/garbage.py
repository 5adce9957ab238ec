"""How seldom the garbage collector looks, and at what.

A gateway makes and drops some hundred objects an exchange, nearly all of which go by themselves. As it comes,
the collector looks through the whole program, half a million objects of it mitmproxy's, every few seconds: a
tenth of a second in which nobody is answered.
"""

from __future__ import annotations

import gc
from typing import Final

YOUNG: Final = 20_000
"""So many objects more than were dropped begin a look at the young ones; some 4 MB."""


def leave_alone_what_is_here() -> None:
    """To be called once, when all that stays has been made: from now on only what comes is looked at."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])
