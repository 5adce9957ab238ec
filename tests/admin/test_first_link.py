"""The first password, and what of logins is kept beside the configuration."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from llmitm import world
from llmitm.admin.auth.doorman import KEY_FILE, Doorman
from llmitm.admin.auth.first_link import FirstLink
from llmitm.admin.auth.passwords import Comparer, is_right, make
from llmitm.admin.auth.patience import RULES, wait_s
from llmitm.admin.auth.tokens import kept_key
from llmitm.config.dashboard import wrong_hash
from llmitm.config.watch import Source
from llmitm.control import LocalControl
from llmitm.errors import Refused
from llmitm.world import World
from support.clocks import HandClock

PASSWORD = "a long password of tests"
GOOD = "$argon2id$v=19$m=65536,t=3,p=1$nbcAvGYzj7BYKA0DyTFkSw$+tHHqFrDa/4bF2qer4vxdvzWZYloM1dEUNtFZb+l4VM"
FILE = "# ours\n[ledger]\nenabled = false\n\n[dashboard]   # watched\nenabled = true\n"


@pytest.fixture
def made(tmp_path: Path) -> World:
    (tmp_path / "config.toml").write_text(FILE)
    source = Source(tmp_path / "config.toml", env={})
    made = world.build(source.read(), clock=HandClock())
    made.source = source
    return made


@pytest.fixture
def link(made: World) -> FirstLink:
    return FirstLink(made, LocalControl(made, stop=lambda: None), Comparer(), {})


async def refused(link: FirstLink, token: str, password: str = PASSWORD) -> Refused:
    with pytest.raises(Refused) as told:
        await link.use(token, password)
    return told.value


async def test_it_sets_a_password_once_and_the_rest_of_the_file_stays(
    link: FirstLink, made: World, tmp_path: Path
) -> None:
    token = link.make()
    assert (await refused(link, token, "short")).status == 422
    assert await link.use(token, PASSWORD) == "admin"
    text = (tmp_path / "config.toml").read_text()
    assert text.startswith(FILE) and PASSWORD not in text
    assert is_right(PASSWORD, made.config.dashboard.accounts["admin"].password_hash.reveal())
    assert (await refused(link, token)).code == "has_password"


async def test_it_is_good_for_ten_minutes_and_only_the_last_one_is(link: FirstLink, made: World) -> None:
    old, token = link.make(), link.make()
    assert (await refused(link, old)).code == "bad_link"
    assert (await refused(link, "")).code == "bad_link"
    clock = made.clock
    assert isinstance(clock, HandClock)
    clock.at_s += 601
    assert (await refused(link, token)).code == "bad_link"


async def test_without_a_file_it_says_what_to_write_by_hand(link: FirstLink, tmp_path: Path) -> None:
    (tmp_path / "config.toml").unlink()
    told = await refused(link, link.make())
    assert told.status == 409 and 'password_hash = "$argon2id$' in told.message


def test_the_key_is_made_once_for_its_owner_alone(tmp_path: Path, made: World) -> None:
    Doorman(made, tmp_path)
    path = tmp_path / KEY_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = kept_key(path)
    assert len(key) == 64 and kept_key(path) == key
    path.chmod(0o644)
    assert kept_key(path) != key, "others may have read it"
    path.unlink()
    path.symlink_to(tmp_path / "config.toml")
    assert kept_key(path) not in FILE, "a link leads who knows where"


def test_passwords_are_compared_whatever_their_hash() -> None:
    import bcrypt

    for hashed in (make(PASSWORD), bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()):
        assert is_right(PASSWORD, hashed)
        assert not is_right(PASSWORD + "x", hashed) and not is_right("", hashed)
        assert not is_right(PASSWORD, None, like=hashed), "nobody has that name"
    long = "x" * 72
    hashed = bcrypt.hashpw(long.encode(), bcrypt.gensalt(4)).decode()
    assert is_right(long, hashed) and not is_right(long + "y", hashed), "bcrypt would not see the end"


@pytest.mark.parametrize(
    ("hashed", "why"),
    [
        (GOOD, None),
        (f"$2y$12${'a' * 53}", None),
        ("", "a hash of a password is expected"),
        ("my password", "a hash of a password is expected"),
        (GOOD.replace("argon2id", "argon2i"), "a hash"),
        (GOOD.replace("65536", "9999999"), "memory"),
        (f"$2b$31${'a' * 53}", "cost"),
        (f"$2b$04${'a' * 53}", "cost"),
    ],
)
def test_hashes_that_cannot_be_meant_are_refused(hashed: str, why: str | None) -> None:
    told = wrong_hash(hashed)
    assert told is None if why is None else told is not None and why in told


def test_waits_double_up_to_a_bound() -> None:
    both = RULES[0]
    assert [wait_s(both, failures) for failures in (1, 4, 5, 6, 7, 14, 100)] == [0, 0, 1, 2, 4, 512, 900]
    assert all(wait_s(rule, 10_000) == rule.longest_s for rule in RULES)
