"""Where a translated request goes: the API, the model's abilities, and what the operator allows. Pure values.

What a model accepts stands in its row of `models`, never in a condition on its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from llmitm.exchange import Dialect

type Ability = Literal["yes", "no"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What a family of models accepts. The defaults are the tolerant ones for unknown models."""

    family: str = ""
    """The row's key; empty for an unknown model."""
    sampling: Literal["range", "noneff", "default1", "never"] = "range"
    """`noneff`: only while the effort is none; `default1`: only while it does not think."""
    max_tokens_field: str = "max_tokens"
    """What chat calls it."""
    max_output_tokens: int | None = None
    """The most that the model makes; None: unknown. A client's own limit may be beyond it."""
    default_max_tokens: int = 8_192
    """Sent to Anthropic's API where the client set no limit; never more than the model makes."""
    reasoning: Literal["unknown", "none", "effort", "adaptive", "budget", "level", "toggle"] = "unknown"
    """How an amount is said. `unknown`: as the client said it, in the dialect's plainest form."""
    efforts: tuple[str, ...] = ()
    """Words that it takes, from little to much; empty: any."""
    off: Literal["none", "disabled", "between_tools", "minimal", "budget0", "toggle", "cannot"] = "none"
    """How reasoning is switched off."""
    off_max_effort: str | None = None
    """The most effort that goes with `off`; None: any."""
    default_effort: str | None = None
    """What it does where the client is silent; None: unknown."""
    budget_min: int = 1_024
    budget_max: int = 32_768
    forces_tools: Literal["yes", "no", "not_thinking", "any_only", "auto_only"] = "yes"
    """Whether a tool may be forced; `not_thinking`: only while it does not think."""
    seals: Literal["must", "should", "no"] = "no"
    """Whether sealed reasoning is to be sent back."""
    prefill: Literal["yes", "no", "not_thinking", "prefix", "continues_not"] = "continues_not"
    """Whether the last turn may be the assistant's. `continues_not`: taken, but the model starts anew."""
    has_schema_output: bool = True
    has_schema_with_tools: bool = True
    has_temperature_and_top_p: bool = True
    """False: not both of them."""
    temperature_max: float = 2.0
    takes_top_k: bool = False
    """Over chat."""
    takes_stop: bool = True
    takes_penalties: bool = True
    takes_parallel: bool = True
    takes_n: bool = True
    takes_developer: bool = False
    """OpenAI's newer models call the system role so."""
    takes_system_turns: bool = False
    """Anthropic's newer models take system turns among the messages."""
    takes_cache_marks: bool = False
    """OpenAI's newer models take explicit breakpoints."""
    takes_audio: bool = False
    takes_media_in_results: bool = True
    """Gemini before 3 takes none."""
    needs_signatures: bool = False
    """Gemini 3 and later answer 400 to a function call of the running turn that has none."""
    sends_back_reasoning: bool = False
    """Hosts that want `reasoning_content` back within a tool loop."""
    tools_need_responses: bool = False
    """OpenAI's chat API refuses tools with any effort but none; responses takes them."""
    is_responses_only: bool = False

    @property
    def limit_unasked(self) -> int:
        """A reply's limit where the API must have one and the client set none."""
        return min(self.default_max_tokens, self.max_output_tokens or self.default_max_tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One upstream, as a writer needs to know it."""

    dialect: Dialect
    model: str
    """As the upstream spells it."""
    row: Model = Model()
    vendor: str = ""
    """Whose seals it can read: `openai`, `anthropic`, `google`, else the provider's name."""
    is_openai: bool = False
    """OpenAI's own API (or Azure's), not one that is merely compatible."""
    is_mistral: bool = False
    is_vertex: bool = False
    is_openrouter: bool = False
    """Takes `reasoning_details` back."""
    scope: str | None = None
    """First 8 hex of sha256 of the account; seals of another one are left out."""
    has_stream_options: bool = True
    map_hosted: frozenset[str] = frozenset()
    """Generic hosted tools that are mapped to the target's own, instead of left out."""
    refuse: frozenset[str] = frozenset()
    """Losses (`media`, ...) that refuse the request even where it is not strict."""
    auto_cache: bool = False
    """Ask Anthropic's API to cache by itself, for clients that cannot ask."""
    is_strict: bool = False
