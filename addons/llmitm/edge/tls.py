"""TLS towards clients with the operator's own certificate, renewed without a restart.

A pair that cannot be used leaves the old one in force and is said once; mitmproxy's own certificate
authority is never shown to a client.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from OpenSSL import SSL

log = logging.getLogger("llmitm")

LOOK_EVERY_S: Final = 1.0


class Certificate:
    """The certificate chain and key that the port shows.

    Raises:
        SSL.Error, OSError: they cannot be read, or do not belong together.
    """

    def __init__(self, chain: Path, key: Path, *, http2: bool) -> None:
        self._chain = chain
        self._key = key
        self._offers = [b"h2", b"http/1.1"] if http2 else [b"http/1.1"]
        self._context = self._load()
        self._stamp: tuple[tuple[int, int], ...] = self._stamps()

    def connection(self) -> SSL.Connection:
        """A fresh server-side connection for one handshake."""
        connection = SSL.Connection(self._context)
        connection.set_accept_state()
        return connection

    def _load(self) -> SSL.Context:
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_options(SSL.OP_NO_RENEGOTIATION)
        context.use_certificate_chain_file(str(self._chain))
        context.use_privatekey_file(str(self._key))
        context.check_privatekey()
        context.set_alpn_select_callback(self._choose)
        return context

    def _check_dates(self) -> None:
        """Raises ValueError for a certificate that no client takes. At the start it may be the only one."""
        leaf = x509.load_pem_x509_certificates(self._chain.read_bytes())[0]
        now = datetime.now(UTC)
        if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
            first, last = leaf.not_valid_before_utc, leaf.not_valid_after_utc
            raise ValueError(f"it is valid from {first:%Y-%m-%d} to {last:%Y-%m-%d}")

    def _choose(self, _connection: SSL.Connection, offered: list[bytes]) -> Any:
        return next((mine for mine in self._offers if mine in offered), SSL.NO_OVERLAPPING_PROTOCOLS)

    def _stamps(self) -> tuple[tuple[int, int], ...]:
        stats = (path.stat() for path in (self._chain, self._key))
        return tuple((stat.st_mtime_ns, stat.st_ino) for stat in stats)

    def use(self, chain: Path, key: Path, *, http2: bool) -> None:
        """From now on the pair in these files, once they can be used."""
        if (chain, key) != (self._chain, self._key):
            self._chain, self._key, self._stamp = chain, key, ()
        self._offers = [b"h2", b"http/1.1"] if http2 else [b"http/1.1"]
        self.renew()

    def renew(self) -> bool:
        """Loads the pair anew where its files changed. True where a new one is in force."""
        try:
            stamp = self._stamps()
            if stamp == self._stamp:
                return False
            self._stamp = stamp
            fresh = self._load()
            self._check_dates()
            self._context = fresh
        except (OSError, SSL.Error, ValueError) as error:
            log.error("the new certificate cannot be used, the old one stays: %s", error)
            return False
        log.info("certificate renewed from %s", self._chain)
        return True

    async def watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self.renew()
