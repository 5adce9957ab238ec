"""The four dialects, as what reads and writes them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from llmitm.exchange import Dialect
from llmitm.translate.chat import reply_in as chat_reply_in
from llmitm.translate.chat import reply_out as chat_reply_out
from llmitm.translate.chat import request_in as chat_request_in
from llmitm.translate.chat import request_out as chat_request_out
from llmitm.translate.chat import stream_in as chat_stream_in
from llmitm.translate.chat import stream_out as chat_stream_out
from llmitm.translate.gemini import reply_in as gemini_reply_in
from llmitm.translate.gemini import reply_out as gemini_reply_out
from llmitm.translate.gemini import request_in as gemini_request_in
from llmitm.translate.gemini import request_out as gemini_request_out
from llmitm.translate.gemini import stream_in as gemini_stream_in
from llmitm.translate.gemini import stream_out as gemini_stream_out
from llmitm.translate.messages import reply_in as messages_reply_in
from llmitm.translate.messages import reply_out as messages_reply_out
from llmitm.translate.messages import request_in as messages_request_in
from llmitm.translate.messages import request_out as messages_request_out
from llmitm.translate.messages import stream_in as messages_stream_in
from llmitm.translate.messages import stream_out as messages_stream_out
from llmitm.translate.neutral import Reply, Request
from llmitm.translate.responses import reply_in as responses_reply_in
from llmitm.translate.responses import reply_out as responses_reply_out
from llmitm.translate.responses import request_in as responses_request_in
from llmitm.translate.responses import request_out as responses_request_out
from llmitm.translate.responses import stream_in as responses_stream_in
from llmitm.translate.responses import stream_out as responses_stream_out
from llmitm.translate.stream import Reader, Writer
from llmitm.translate.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """One dialect."""

    read_request: Callable[..., Request]
    write_request: Callable[[Request, Target], bytes]
    read_reply: Callable[[bytes], Reply]
    write_reply: Callable[[Reply, Request], bytes]
    reader: Callable[[], Reader]
    writer: Callable[[Request], Writer]


CODECS: Final[Mapping[Dialect, Codec]] = {
    Dialect.OPENAI_CHAT: Codec(
        read_request=chat_request_in.read_request,
        write_request=chat_request_out.write_request,
        read_reply=chat_reply_in.read_reply,
        write_reply=chat_reply_out.write_reply,
        reader=chat_stream_in.StreamReader,
        writer=chat_stream_out.StreamWriter,
    ),
    Dialect.OPENAI_RESPONSES: Codec(
        read_request=responses_request_in.read_request,
        write_request=responses_request_out.write_request,
        read_reply=responses_reply_in.read_reply,
        write_reply=responses_reply_out.write_reply,
        reader=responses_stream_in.StreamReader,
        writer=responses_stream_out.writer,
    ),
    Dialect.ANTHROPIC_MESSAGES: Codec(
        read_request=messages_request_in.read_request,
        write_request=messages_request_out.write_request,
        read_reply=messages_reply_in.read_reply,
        write_reply=messages_reply_out.write_reply,
        reader=messages_stream_in.StreamReader,
        writer=messages_stream_out.StreamWriter,
    ),
    Dialect.GEMINI: Codec(
        read_request=gemini_request_in.read_request,
        write_request=gemini_request_out.write_request,
        read_reply=gemini_reply_in.read_reply,
        write_reply=gemini_reply_out.write_reply,
        reader=gemini_stream_in.StreamReader,
        writer=gemini_stream_out.StreamWriter,
    ),
}
