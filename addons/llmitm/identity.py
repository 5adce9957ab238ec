"""Whom upstreams' TLS is trusted by, and what is shown to them."""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Self


class Unusable(Exception):
    """Files that make no identity. Its text says which, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Files of an operator's own for TLS towards an upstream. Files that were renewed make another one."""

    ca: Path | None = None
    """PEM: authorities that are trusted in place of the system's. None: the system's."""
    client_cert: Path | None = None
    """PEM: a certificate, its chain and its key without a passphrase, for upstreams that ask for one."""
    digest: bytes = b""
    """Of what the files say."""

    @classmethod
    def of(cls, ca: Path | None, client_cert: Path | None) -> Self:
        """Raises `Unusable`."""
        digest = hashlib.sha256()
        for path in (ca, client_cert):
            try:
                content = path.read_bytes() if path is not None else b""
            except OSError as error:
                raise Unusable(f"{path} cannot be read: {error.strerror}") from None
            digest.update(b"%d " % len(content) + content)
        made = cls(ca=ca, client_cert=client_cert, digest=digest.digest())
        made.context()
        return made

    def context(self) -> ssl.SSLContext:
        """Raises `Unusable`."""
        try:
            made = ssl.create_default_context(cafile=self.ca)
        except OSError:
            raise Unusable(f"{self.ca} holds no PEM certificate") from None
        if self.ca is not None:
            # authorities of a house's own are often older than these rules on what a certificate must tell
            made.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if self.client_cert is not None:
            try:
                # an empty passphrase, else OpenSSL would ask the terminal for one
                made.load_cert_chain(self.client_cert, password="")
            except OSError as error:
                why = "a key that does not belong to it" if "MISMATCH" in str(error) else "no such pair"
                raise Unusable(
                    f"{self.client_cert} holds {why}: a PEM certificate is expected, and its key without a "
                    "passphrase"
                ) from None
        made.set_alpn_protocols(("http/1.1",))
        return made
