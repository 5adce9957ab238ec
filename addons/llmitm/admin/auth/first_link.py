"""The link that sets the first password: shown on the terminal where nobody has one, good once."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING, Final

from tomlkit import TOMLDocument, table
from tomlkit.items import Table

from llmitm.admin.auth.passwords import Comparer
from llmitm.config.write import edit
from llmitm.control import Control
from llmitm.errors import ConfigError, Refused
from llmitm.world import World

if TYPE_CHECKING:
    from collections.abc import Mapping

VALID_S: Final = 600.0


class FirstLink:
    def __init__(self, world: World, control: Control, comparer: Comparer, env: Mapping[str, str]) -> None:
        self._world = world
        self._control = control
        self._comparer = comparer
        self._env = env
        self._digest: bytes | None = None
        self._until_s = 0.0
        self._turn = asyncio.Lock()

    def make(self) -> str:
        """A new token; the one before is good no more."""
        token = secrets.token_urlsafe(32)
        self._digest = hashlib.sha256(token.encode()).digest()
        self._until_s = self._world.clock.tick_s() + VALID_S
        return token

    async def use(self, token: str, password: str) -> str:
        """Sets the password. Returns the name of the user.

        Raises:
            Refused: 401 for a token that is not good, 422 for a password that is not, 409 where there is a
                password already, or the configuration cannot be written.
        """
        async with self._turn:
            settings = self._world.config.dashboard
            if settings.accounts:
                raise Refused(409, "has_password", "There is a password already; log in with it.")
            self._check(token)
            try:
                made = await self._comparer.make(password)
            except ValueError as error:
                raise Refused(422, "bad_password", f"{str(error).capitalize()}.") from None
            await self._write(made)
            if settings.username not in self._world.config.dashboard.accounts:
                raise Refused(409, "not_in_force", "The password was written, but is not in force yet.")
            self._digest = None
            return settings.username

    def _check(self, token: str) -> None:
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        is_good = self._digest is not None and hmac.compare_digest(digest, self._digest)
        if not is_good or self._world.clock.tick_s() > self._until_s:
            raise Refused(
                401, "bad_link", "This link is not valid, or no longer; restart the gateway to get another."
            )

    async def _write(self, made: str) -> None:
        source = self._world.source
        by_hand = f'Put this under [dashboard]: password_hash = "{made}"'
        if source is None or not source.path.exists():
            raise Refused(409, "no_file", f"There is no configuration file to write to. {by_hand}")

        def change(document: TOMLDocument) -> None:
            if not isinstance(document.get("dashboard"), Table):
                document["dashboard"] = table()
            document["dashboard"]["password_hash"] = made

        try:
            await asyncio.to_thread(edit, source.path, change, env=self._env)
            await self._control.reload()
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise Refused(
                409, "read_only", f"The configuration cannot be written ({why}). {by_hand}"
            ) from None
        except ConfigError as error:
            problems = "; ".join(str(problem) for problem in error.problems)
            raise Refused(409, "bad_config", f"The configuration cannot be changed: {problems}") from None
