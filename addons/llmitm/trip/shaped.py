"""What the operator's configuration changes of an attempt, on its way out and back.

The joint of what `shape/` knows with the ways of `routed.py`. An attempt that nothing changes has no
`Shaping`, so what is not configured costs a look at None.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace

from llmitm.config.providers import ProviderOptions
from llmitm.config.schema import Config
from llmitm.exchange import (
    Attempt,
    ClientRequest,
    Dialect,
    Headers,
    HeldBody,
    ResponseHead,
    UpstreamRequest,
)
from llmitm.route import calls
from llmitm.route.calls import Call
from llmitm.route.plan import Asked
from llmitm.shape import payload
from llmitm.shape.headers import Flags
from llmitm.shape.payload import Rules, When
from llmitm.shape.splice import Edit, NotAnObject, Unfit
from llmitm.translate import peek
from llmitm.translate.notes import Notes
from llmitm.trip import thought
from llmitm.trip.cloaked import Cloaking, may_cloak

log = logging.getLogger("llmitm")

type Steps = AsyncGenerator[ResponseHead | bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What rules may ask of an attempt before it is planned."""

    request: ClientRequest
    asked: Asked
    call: Call | None
    """None: a path that names no call of a model."""
    provider: str
    options: ProviderOptions | None
    """Of the credential, its provider's where it says nothing itself; None: the client's own key."""
    asked_model: str | None
    """As the client names it; None where that is not known."""
    model: str | None
    """As the provider spells it; None where that is not known."""
    auth_key: str | None
    """Name of the client's key."""
    is_strict: bool = False
    """Whether what would be told in a warning refuses the request."""


@dataclass(slots=True, kw_only=True)
class Shaping:
    """Made once for an attempt. `before`, `after` and `back` are called in this order, each at most once."""

    about: About
    config: Config
    notes: Notes
    """Told to the client, in `x-llmitm-warnings`."""
    _cloaking: Cloaking | None = None
    _has_thoughts: bool = False
    """Whether the answer's text may begin with reasoning that is to be told as such."""

    def before(self, body: bytes) -> bytes:
        """The request in the client's dialect, before anything is made of it."""
        rules = self.config.payload.rules
        if rules is None or "before" not in rules.moments:
            return body
        return self._ruled(rules, "before", body, self.about.asked.dialect, self.about.call)

    def after(self, sending: UpstreamRequest, attempt: Attempt, call: Call | None = None) -> UpstreamRequest:
        """The request in the provider's dialect, `attempt.dialect`, as it would be sent.

        `call` is what the provider is asked, where that is not what the client asked.

        Raises:
            Refused: 400, something could not be applied, and strict was asked for.
        """
        rules = self.config.payload.rules
        held = body = sending.body.held
        if rules is not None and "after" in rules.moments and body is not None:
            body = self._ruled(rules, "after", body, attempt.dialect, call or self.about.call)
        self._cloaking = Cloaking.of(self.about, self.config, self.notes)
        if self._cloaking is not None:
            sending = self._cloaking.out(sending, attempt, body)
        elif body is not None and body is not held:
            sending = with_body(sending, body)
        if self.about.options is not None and (flags := self.about.options.flags) is not None:
            sending = self._flagged(flags, sending, attempt)
        asked = call or self.about.call
        if thought.may_hold(attempt, asked) and thought.is_wanted(self.config, self.about.options):
            self._has_thoughts = True
            sending = thought.readable(sending)
        if self.about.is_strict:
            self.notes.refuse_strictly()
        return sending

    def back(self, steps: Steps) -> Steps:
        """The answer in the provider's dialect, before it is translated back or passed on."""
        if self._cloaking is not None:
            steps = self._cloaking.back(steps)
        return thought.told(steps) if self._has_thoughts else steps

    def _flagged(self, flags: Flags, sending: UpstreamRequest, attempt: Attempt) -> UpstreamRequest:
        """Lists of features, the client's and the operator's, without what this provider refuses."""
        about, passing = self.about, self.config.passing
        is_same = attempt.dialect is about.asked.dialect
        client = [pair for pair in about.request.headers if is_same or passing.passes(pair[0].lower())]
        headers, gone = flags.merged(client, sending.headers)
        for flag in gone:
            self.notes.lost("beta", flag)
        return sending if headers is sending.headers else replace(sending, headers=headers)

    def _ruled(self, rules: Rules, when: When, body: bytes, dialect: Dialect, call: Call | None) -> bytes:
        about = self.about
        if not body:
            return body
        model = about.model or (call.model if call is not None else None)
        if model is None and (seen := peek.peek(body)) is not None:
            model = seen.model
        path = call.path if call is not None else about.asked.rest.partition(b"?")[0]
        chosen = rules.chosen(
            payload.Call(
                when=when,
                dialect=dialect,
                model=(model or "").removeprefix("models/"),
                asked=about.asked_model or model or "",
                provider=about.provider,
                endpoint=about.asked.endpoint,
                path="/" + path.decode("latin-1").lstrip("/"),
                is_answer=call is not None and call.task == "generate",
            )
        )
        edits = chosen.of(about.request.headers)
        if not edits:
            return body
        try:
            body, unfit = edits.apply(body)
        except NotAnObject as error:
            unfit = [(edit, Unfit("", str(error))) for edit in edits]
        for edit, one in unfit:
            self._unfit(rules, edit, one)
        return body

    def _unfit(self, rules: Rules, edit: Edit, unfit: Unfit) -> None:
        self.notes.lost("payload-rule", edit.path.text)
        if (said := (edit.place, edit.path.text)) in rules.told:
            return
        rules.told.add(said)
        log.warning(
            "%s: %s cannot be set in a request for %s of /%s: %s %s. This is said once.",
            edit.place,
            edit.path.text,
            self.about.provider,
            self.about.asked.endpoint,
            unfit.at or "it",
            unfit.why,
        )


def is_configured(config: Config, options: ProviderOptions | None) -> bool:
    """Whether anything may change an attempt with these options."""
    has_flags = options is not None and options.flags is not None
    has_rules = config.payload.rules is not None
    return has_flags or has_rules or may_cloak(options) or thought.is_wanted(config, options)


def needs_whole(config: Config, rest: bytes) -> bool:
    """Whether the body of a request for this path must be at hand whole, to be changed."""
    if calls.find(rest) is None:
        return False
    every = (one for found in config.providers.values() for one in (found, *found.credentials))
    modules = config.hooks.loaded
    is_shown = modules is not None and bool(modules.on_attempt)
    return is_shown or config.payload.rules is not None or any(map(may_cloak, every))


def with_body(sending: UpstreamRequest, body: bytes) -> UpstreamRequest:
    """The same request with another body."""
    headers = tuple(
        (name, b"%d" % len(body)) if name.lower() == b"content-length" else (name, value)
        for name, value in sending.headers
    )
    return UpstreamRequest(method=sending.method, url=sending.url, headers=headers, body=HeldBody(body))


def told(shaping: Shaping | None) -> Headers:
    """What the client of an answer that is passed on as it is learns of what was changed."""
    return () if shaping is None else warned(shaping.notes)


def warned(notes: Notes) -> Headers:
    warnings = notes.header()
    return () if warnings is None else ((b"x-llmitm-warnings", warnings),)
