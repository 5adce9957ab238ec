"""What an attempt may be made with: a credential for a model, at Cloudflare's with a gateway. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice[T]:
    """One candidate, as rests, strategies and the loop see it. `value` is what the attempt is built from."""

    provider: str
    credential: str | None
    """Name of the credential; None where the client's own key goes through, or none."""
    model: str
    """As the upstream spells it; empty where nobody knows."""
    weight: int
    value: T
    gateway: str | None = None
    """Cloudflare gateway, as `<account>/<gateway>`."""
    has_credential: bool = True
    """Whether it is sent with a key of ours, so that what is said of the key is said of us."""

    name: str = field(init=False, compare=False)
    """Of the account that is asked: what is known of it (latency, requests under way) stands under it."""
    upstream: str = field(init=False, compare=False)
    """Who is to blame where no credential does: a provider, directly or by way of Cloudflare."""
    rests: tuple[str, ...] = field(init=False, compare=False)
    """Marks in the store; while any of them stands, nothing is sent with this choice."""

    def __post_init__(self) -> None:
        """Worked out once: choices of a model are kept, and asked for their names in every exchange."""
        name = f"{self.provider}/{self.credential or ''}"
        own = f"rest:{name}"
        marks: tuple[str, ...] = (own, f"{own}:{self.model}")
        if self.gateway is not None:
            marks += (f"rest:cloudflare/{self.gateway}",)
        object.__setattr__(self, "name", name)
        object.__setattr__(
            self, "upstream", self.provider if self.gateway is None else f"cloudflare/{self.provider}"
        )
        object.__setattr__(self, "rests", marks)
