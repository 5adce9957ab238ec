"""How long is waited, and how streams go: `[timeouts]` and `[streaming]`."""

from __future__ import annotations

from llmitm.config.table import Table
from llmitm.config.values import Seconds, SecondsOrOff


class Timeouts(Table):
    connect_s: Seconds = 5
    first_byte_s: Seconds = 120
    idle_s: Seconds = 120
    exchange_s: Seconds = 600
    session_s: SecondsOrOff = 0
    """Of an open WebSocket, which none of the others ends; 0: as long as both sides like."""
    header_s: Seconds = 15


class Streaming(Table):
    heartbeat_s: SecondsOrOff = 15
    heartbeat_after_s: SecondsOrOff = 30
    non_stream_keepalive_s: SecondsOrOff = 0
    bootstrap: bool = True
    ask_usage: bool = True
    extract_think: bool = False
    pace_ms: SecondsOrOff = 20
