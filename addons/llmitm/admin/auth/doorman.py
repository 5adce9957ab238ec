"""Lets people in, knows them again, and shows them out."""

from __future__ import annotations

import asyncio
import logging
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from llmitm.admin.auth.endings import Endings
from llmitm.admin.auth.passwords import Comparer
from llmitm.admin.auth.patience import Patience
from llmitm.admin.auth.tokens import SESSION_S, BadToken, Kind, Signer, Token, kept_key
from llmitm.admin.route import Role, Who
from llmitm.config.dashboard import Dashboard
from llmitm.config.schema import Config
from llmitm.errors import Refused
from llmitm.state.store import Count, Mark, Step
from llmitm.world import World

log = logging.getLogger("llmitm")

KEY_FILE: Final = "llmitm-dashboard.key"
"""Beside the configuration, where it names no `jwt_secret`."""
ENDED_FILE: Final = "llmitm-dashboard.ended"
"""Beside it, where no store is shared: logins that were ended before their time."""
GRACE_S: Final = 30.0
"""So long a refresh token can be used again: two pages may renew at once, or an answer be lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """What somebody takes along."""

    who: Who
    access: str
    refresh: str
    refresh_expires_s: float


class Doorman:
    def __init__(self, world: World, folder: Path) -> None:
        """`folder` holds the configuration."""
        self._world = world
        self._folder = folder
        self._comparer = Comparer()
        self._patience = Patience(world.store)
        self._kept: str | None = None
        self._endings = None if world.is_shared else Endings(folder / ENDED_FILE, world.clock)
        self._nonce = self._nonce_of(self._endings)
        self._signer = self._signer_of(self.settings)
        world.followers.append(self._follow)

    @property
    def settings(self) -> Dashboard:
        return self._world.config.dashboard

    @property
    def comparer(self) -> Comparer:
        return self._comparer

    def close(self) -> None:
        self._comparer.close()
        self._world.followers.remove(self._follow)

    def _follow(self, config: Config) -> None:
        self._signer = self._signer_of(config.dashboard)

    def _nonce_of(self, endings: Endings | None) -> str:
        """What is signed with beside the secret: nothing, unless endings would be forgotten by a restart."""
        if endings is None or endings.why_not_kept is None:
            return ""
        log.warning("logins end when the gateway does: %s", endings.why_not_kept)
        return secrets.token_hex()

    def _signer_of(self, settings: Dashboard) -> Signer:
        if settings.jwt_secret is not None:
            return Signer(settings.jwt_secret.reveal() + self._nonce)
        if self._kept is None:
            self._kept = kept_key(self._folder / KEY_FILE)
        return Signer(self._kept + self._nonce)

    # -- in

    async def log_in(self, name: str, password: str, address: str) -> Login:
        """Raises Refused: 401 invalid_credentials, 409 where nobody has a password yet, 429."""
        users = self.settings.accounts
        if not users:
            raise Refused(
                409, "no_password", "Nobody has a password yet; the terminal shows a link to set one."
            )
        await self._patience.check(name, address)
        user = users.get(name)
        some = next(iter(users.values()))
        is_right = await self._comparer.is_right(
            password,
            user.password_hash.reveal() if user is not None else None,
            some.password_hash.reveal(),
        )
        # who was taken out meanwhile, or has another password, stays outside
        if not is_right or user is None or self.settings.accounts.get(name) != user:
            raise Refused(401, "invalid_credentials", "The user or the password is wrong.")
        await self._patience.succeeded(name, address)
        return self.login(name)

    def login(self, name: str) -> Login:
        """A new session of somebody who is known."""
        return self._issue(name, secrets.token_urlsafe(12), self._world.clock.now_s())

    def _issue(self, name: str, session: str, began_s: float) -> Login:
        user = self.settings.accounts[name]
        now_s = self._world.clock.now_s()
        ends_s = began_s + SESSION_S
        mark = self._signer.mark(user.password_hash.reveal())

        def token(expires_s: float) -> Token:
            return Token(
                name=name,
                session=session,
                number=secrets.token_urlsafe(12),
                began_s=began_s,
                expires_s=expires_s,
                password_mark=mark,
            )

        access = token(min(now_s + self.settings.jwt_ttl_secs, ends_s))
        return Login(
            who=_who(access, Role.of(user.role), is_by_cookie=False),
            access=self._signer.sign(access, "access", now_s),
            refresh=self._signer.sign(token(ends_s), "refresh", now_s),
            refresh_expires_s=ends_s,
        )

    # -- known again

    async def know(self, text: str, *, is_by_cookie: bool) -> Who:
        """Who shows this access token.

        Raises:
            Refused: 401 token_expired, invalid_token.
        """
        token, role = self._read(text, "access")
        if await self._is_out(token.session):
            raise _bad("invalid_token")
        return _who(token, role, is_by_cookie=is_by_cookie)

    async def stands(self, who: Who) -> bool:
        """Whether this login still counts, with no smaller role."""
        user = self.settings.accounts.get(who.name)
        if user is None or Role.of(user.role) < who.role or who.expires_s <= self._world.clock.now_s():
            return False
        return not await self._is_out(who.session)

    def _read(self, text: str, kind: Kind) -> tuple[Token, Role]:
        try:
            token = self._signer.read(text, kind, self._world.clock.now_s())
        except BadToken as error:
            raise _bad(error.code) from None
        user = self.settings.accounts.get(token.name)
        if user is None or not secrets.compare_digest(
            self._signer.mark(user.password_hash.reveal()), token.password_mark
        ):
            raise _bad("invalid_token")
        return token, Role.of(user.role)

    async def _is_out(self, session: str) -> bool:
        if self._endings is not None and f"session:{session}" in self._endings:
            return True
        outcome = await self._world.store.apply([Mark(key=_session_key(session))])
        return outcome.values[0] != 0

    async def _end(self, what: str, until_s: float) -> None:
        if self._endings is not None:
            await asyncio.to_thread(self._endings.add, what, until_s)

    async def renew(self, text: str) -> Login:
        """New tokens for a refresh token, which is used up. One that is used again later was stolen: its
        session ends.

        Raises:
            Refused: 401.
        """
        token, _ = self._read(text, "refresh")
        left_s = token.expires_s - self._world.clock.now_s()
        used = f"dashboard:used:{token.number}"
        outcome = await self._world.store.apply(
            [
                Mark(key=_session_key(token.session)),
                Count(key=used, ttl_s=left_s),
                Count(key=f"{used}:lately", ttl_s=min(GRACE_S, left_s)),
            ]
        )
        is_revoked, times, lately = outcome.values
        if is_revoked or await self._is_out(token.session):
            raise _bad("invalid_token")
        was_used = self._endings is not None and f"token:{token.number}" in self._endings
        if (times > 1 or was_used) and lately == 1:
            await self.show_out(token.session, token.expires_s)
            raise _bad("invalid_token")
        if not was_used:
            await self._end(f"token:{token.number}", token.expires_s)
        return self._issue(token.name, token.session, token.began_s)

    # -- out

    async def show_out(self, session: str, until_s: float | None = None) -> None:
        """Ends a session: none of its tokens counts any more."""
        now_s = self._world.clock.now_s()
        steps: list[Step] = [
            Mark(key=_session_key(session), value=1, ttl_s=max(until_s or 0, now_s + SESSION_S) - now_s)
        ]
        await self._world.store.apply(steps)
        await self._end(f"session:{session}", max(until_s or 0, now_s + SESSION_S))

    async def show_out_by(self, refresh: str) -> None:
        """The same for who shows a refresh token only; nothing where it is none."""
        try:
            token, _ = self._read(refresh, "refresh")
        except Refused:
            return
        await self.show_out(token.session, token.expires_s)


def _who(token: Token, role: Role, *, is_by_cookie: bool) -> Who:
    return Who(
        name=token.name,
        role=role,
        session=token.session,
        expires_s=token.expires_s,
        is_by_cookie=is_by_cookie,
    )


def _session_key(session: str) -> str:
    return f"dashboard:out:{session}"


def _bad(code: str) -> Refused:
    told = "The login is over." if code == "token_expired" else "This login is not known; log in again."
    return Refused(401, code, told)
