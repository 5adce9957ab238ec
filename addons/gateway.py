"""Entry script: `mitmdump -s addons/gateway.py`, or `mitmweb -s addons/gateway.py`.

Builds the world once and lists the addons. Bad configuration ends the process with status 2 here,
before any port is open.
"""

from llmitm.edge.door import Door
from llmitm.edge.start import world_or_exit

addons = [Door(world_or_exit())]
