"""What the doctor says of the certificate: how long it holds, for whom, and who vouches for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from llmitm.cli.certs import make_pair
from llmitm.doctor.certificates import certificates, is_for
from llmitm.doctor.finding import Finding, Level
from support.clocks import HandClock
from support.patients import findings, patient

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


async def looked_at(folder: Path, *, host: str = "127.0.0.1", extra: str = "") -> list[Finding]:
    text = f'[server]\nhost = "{host}"\ntls_cert = "cert.pem"\ntls_key = "key.pem"\n{extra}'
    examined = patient(folder, text, clock=HandClock(now_s=NOW.timestamp()))
    assert examined.config is not None, examined.problems
    return await findings(certificates, examined)


def write(folder: Path, cert: bytes, key: bytes) -> None:
    (folder / "cert.pem").write_bytes(cert)
    (folder / "key.pem").write_bytes(key)


@pytest.mark.parametrize(
    ("made", "days", "level", "words"),
    [
        (NOW, 365, Level.OK, "valid until 2027-11-20"),
        (NOW, 10, Level.WARNING, "expires on 2026-11-30, in 10 days"),
        (NOW - timedelta(days=40), 30, Level.ERROR, "expired on 2026-11-10, 10 days ago"),
        (NOW + timedelta(days=2), 30, Level.ERROR, "is not valid before 2026-11-22"),
    ],
)
async def test_how_long_it_holds(tmp_path: Path, made: datetime, days: int, level: Level, words: str) -> None:
    write(tmp_path, *make_pair(("localhost", "127.0.0.1"), days, made))
    found = await looked_at(tmp_path)
    (one,) = [one for one in found if words in one.text]
    assert one.level is level and (level is Level.OK or one.fix)


@pytest.mark.parametrize(
    ("host", "names", "level"),
    [
        ("127.0.0.1", ("127.0.0.1",), Level.OK),
        ("127.0.0.1", ("llm.example.com",), Level.WARNING),
        ("0.0.0.0", ("llm.example.com",), Level.OK),
        ("localhost", ("localhost",), Level.OK),
    ],
)
async def test_whom_it_is_for(tmp_path: Path, host: str, names: tuple[str, ...], level: Level) -> None:
    write(tmp_path, *make_pair(names, 365, NOW))
    extra = "allow_anonymous = true\n" if host == "0.0.0.0" else ""
    found = await looked_at(tmp_path, host=host, extra=extra)
    (one,) = [one for one in found if one.text.startswith(("is for", "is not for"))]
    assert one.level is level


@pytest.mark.parametrize(
    ("host", "names", "expected"),
    [
        ("a.example.com", ["*.example.com"], True),
        ("a.b.example.com", ["*.example.com"], False),
        ("example.com", ["*.example.com"], False),
        ("LLM.example.com", ["llm.example.com"], True),
        ("::1", ["::1"], True),
    ],
)
def test_a_name_with_a_star_is_for_one_label(host: str, names: list[str], expected: bool) -> None:
    assert is_for(host, names) is expected


async def test_one_that_nobody_vouches_for_is_told(tmp_path: Path) -> None:
    write(tmp_path, *make_pair(("127.0.0.1",), 365, NOW))
    (one,) = [one for one in await looked_at(tmp_path) if "self-signed" in one.text]
    assert one.level is Level.WARNING and "--cacert" in (one.fix or "")


async def test_weak_keys_and_missing_names_are_errors(tmp_path: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # clients refuse such
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=100))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write(tmp_path, cert.public_bytes(serialization.Encoding.PEM), private)
    errors = [one.text for one in await looked_at(tmp_path) if one.level is Level.ERROR]
    assert any("1024 bits" in one for one in errors) and any("names no host" in one for one in errors)


def signed(
    name: str, by: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    cert = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by[0].subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=100))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(by[1] if by else key, hashes.SHA256())
    )
    return cert, key


@pytest.mark.parametrize(
    ("order", "level", "words"),
    [
        ((0, 1), Level.WARNING, "no authority that this machine trusts"),
        ((0,), Level.WARNING, "no authority that this machine trusts"),
        ((0, 2), Level.ERROR, "not in order"),
    ],
)
async def test_a_chain_is_in_order(tmp_path: Path, order: tuple[int, ...], level: Level, words: str) -> None:
    authority = signed("An authority", None)
    leaf = signed("localhost", authority)
    chain = (leaf[0], authority[0], signed("Another", None)[0])
    pem = b"".join(chain[at].public_bytes(serialization.Encoding.PEM) for at in order)
    key = leaf[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write(tmp_path, pem, key)
    (one,) = [one for one in await looked_at(tmp_path, host="localhost") if words in one.text]
    assert one.level is level


@pytest.mark.parametrize(("host", "level"), [("127.0.0.1", Level.OK), ("0.0.0.0", Level.WARNING)])
async def test_a_network_is_not_served_without_one_unsaid(tmp_path: Path, host: str, level: Level) -> None:
    text = f'[server]\nhost = "{host}"\nallow_anonymous = true\n'
    (found,) = await findings(certificates, patient(tmp_path, text))
    assert found.level is level
