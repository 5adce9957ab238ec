"""The certificate that clients are shown: whose it is, how long it holds, and who will believe it."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, rsa

from llmitm.config.schema import Config
from llmitm.doctor.finding import Notes
from llmitm.doctor.patient import Patient, aside

SOON: Final = timedelta(days=21)
"""Who renews by a machine has done so by then."""
LEAST_BITS: Final = 2048
_OF_TIMES: Final = (9, 10)
"""OpenSSL's codes for too early and too late, which are told apart from this."""
_NEW: Final = "`llmitm certs new` makes one for trying out; a running gateway takes a new file by itself"


async def certificates(patient: Patient, notes: Notes) -> None:
    config = patient.config
    if config is None:
        return
    cert, key = config.server.tls_cert, config.server.tls_key
    if cert is None or key is None:
        if not config.server.is_loopback:
            fix = "set [server] tls_cert and tls_key, or have a proxy speak TLS in front of it"
            notes.warning(
                f"{config.server.host} is served without TLS: keys cross the network in the open", fix
            )
        else:
            notes.ok("none: only this machine is served, without TLS")
        return
    await aside(lambda: _look(config, cert, key, patient.clock.now_s(), notes))


def _look(config: Config, cert: Path, key: Path, now_s: float, notes: Notes) -> None:
    try:
        chain = x509.load_pem_x509_certificates(cert.read_bytes())
        private = serialization.load_pem_private_key(key.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        notes.error(f"{cert} or {key} cannot be read: {error}", _NEW)
        return
    leaf, now = chain[0], datetime.fromtimestamp(now_s, UTC)
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if leaf.public_key().public_bytes(*form) != private.public_key().public_bytes(*form):
        notes.error(
            f"{key} is not the key of {cert}", "name the pair that belongs together", subject=cert.name
        )
    _times(chain, now, cert, notes)
    _strength(leaf, cert, notes)
    _names(config, leaf, cert, notes)
    _chain(chain, cert, key, notes)


def _times(chain: Sequence[x509.Certificate], now: datetime, cert: Path, notes: Notes) -> None:
    for at, one in enumerate(chain):
        what = cert.name if at == 0 else f"{cert.name}, certificate {at + 1}"
        left = one.not_valid_after_utc - now
        until = one.not_valid_after_utc.strftime("%Y-%m-%d")
        if left < timedelta(0):
            notes.error(f"expired on {until}, {_days(-left)} ago", f"renew it; {_NEW}", subject=what)
        elif one.not_valid_before_utc > now:
            since = one.not_valid_before_utc.strftime("%Y-%m-%d %H:%M UTC")
            notes.error(f"is not valid before {since}", "check the clock, or wait", subject=what)
        elif left < SOON:
            notes.warning(f"expires on {until}, in {_days(left)}", f"renew it; {_NEW}", subject=what)
        elif at == 0:
            notes.ok(f"valid until {until} ({_days(left)}), and its key belongs to it", subject=what)


def _days(span: timedelta) -> str:
    if span < timedelta(days=2):
        return f"{span.total_seconds() / 3600:.0f} hours"
    return f"{span.days} days"


def _strength(leaf: x509.Certificate, cert: Path, notes: Notes) -> None:
    key = leaf.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < LEAST_BITS:
        notes.error(
            f"has an RSA key of {key.key_size} bits",
            f"clients refuse it; take {LEAST_BITS}",
            subject=cert.name,
        )
    if isinstance(key, dsa.DSAPublicKey):
        notes.error("has a DSA key", "clients refuse it; take RSA or an elliptic curve", subject=cert.name)
    if isinstance(leaf.signature_hash_algorithm, hashes.SHA1 | hashes.MD5):
        notes.error("is signed with SHA-1 or MD5", "clients refuse it; have it made anew", subject=cert.name)


def names_of(leaf: x509.Certificate) -> list[str]:
    """Host names and addresses that it is for."""
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    addresses = [str(one) for one in found.get_values_for_type(x509.IPAddress)]
    return [*found.get_values_for_type(x509.DNSName), *addresses]


def is_for(host: str, names: Sequence[str]) -> bool:
    host = host.lower()
    first, _, rest = host.partition(".")
    return any(host == one.lower() or (one.startswith("*.") and rest == one[2:].lower()) for one in names)


def _names(config: Config, leaf: x509.Certificate, cert: Path, notes: Notes) -> None:
    names = names_of(leaf)
    if not names:
        fix = "clients refuse it; have it made anew with subject alternative names"
        notes.error("names no host (no subjectAltName)", fix, subject=cert.name)
        return
    host = config.server.host
    hosts = [*config.dashboard.hosts] if config.dashboard.enabled else []
    if not _is_any(host):
        hosts.append(host)
    for one in hosts:
        if not is_for(one, names):
            fix = f"have it made for {one} too: llmitm certs new {one} {' '.join(names[:3])}"
            notes.warning(f"is not for {one}, only for {', '.join(names[:5])}", fix, subject=cert.name)
            return
    notes.ok(f"is for {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}", subject=cert.name)


def _is_any(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _any_name(leaf: x509.Certificate) -> str:
    return next(iter(names_of(leaf)), "localhost").replace("*", "any")


def _chain(chain: Sequence[x509.Certificate], cert: Path, key: Path, notes: Notes) -> None:
    for lower, upper in zip(chain, chain[1:], strict=False):
        try:
            lower.verify_directly_issued_by(upper)
        except (ValueError, TypeError, InvalidSignature):
            fix = "put the server's certificate first, then each authority that signed the one before it"
            notes.error("its chain is not in order", fix, subject=cert.name)
            return
    leaf = chain[0]
    if leaf.issuer == leaf.subject:
        fix = f"for others, take one of an authority; here: curl --cacert {cert}"
        notes.warning("is self-signed: clients have to be told to trust it", fix, subject=cert.name)
    elif (why := distrust(cert, key, _any_name(leaf))) is None:
        notes.ok("this machine's authorities vouch for it", subject=cert.name)
    else:
        fix = "append the intermediate certificates, or give clients your authority's certificate"
        notes.warning(f"no authority that this machine trusts vouches for it: {why}", fix, subject=cert.name)


def distrust(cert: Path, key: Path, host: str) -> str | None:
    """Why a client here that trusts this machine's authorities would not believe it; None: it would.

    The handshake itself is tried, in memory. Raises OSError.
    """
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(cert, key)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = theirs.wrap_bio(up, down, server_side=True)
    client = ssl.create_default_context().wrap_bio(down, up, server_hostname=host)
    for _ in range(8):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as error:
                return None if error.verify_code in _OF_TIMES else error.verify_message
            if side is client:
                return None
    return "the handshake does not end"
