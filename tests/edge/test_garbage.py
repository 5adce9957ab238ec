"""What the garbage collector looks at once the gateway runs."""

from __future__ import annotations

import subprocess
import sys

from llmitm.edge import garbage

SHOWN = """
import gc
from llmitm.edge.garbage import leave_alone_what_is_here
leave_alone_what_is_here()
print(gc.get_freeze_count() > 1_000, gc.get_count()[0] < 2_000, gc.isenabled(), gc.get_threshold()[0])
loop = []
loop.append(loop)
del loop
print(gc.collect())
"""


def test_what_is_here_is_left_alone_and_what_comes_is_not() -> None:
    done = subprocess.run([sys.executable, "-c", SHOWN], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True", "True", str(garbage.YOUNG), "1"]
