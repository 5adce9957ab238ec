"""Modules of an operator: what is loaded, what is refused, and what becomes of a function that fails."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from llmitm.config.load import load
from llmitm.errors import ConfigError, Refused
from llmitm.shape.hooks import calling, modules

BROKEN = {
    "syntax": ("\n\ndef on_request(:\n    pass\n", "line 3"),
    "raises": ("x = 1\nraise ValueError('sk-secret')\n", "line 2: ValueError"),
    "exits": ("raise SystemExit(3)\n", "line 1: SystemExit"),
    "empty": ("", "defines none of"),
    "no function": ("on_request = 3\n", "is no plain or async function"),
    "arguments": ("def on_request():\n    return None\n", "line 1: on_request takes one argument"),
    "generator": ("def on_request(request):\n    yield request\n", "is no plain or async function"),
    "fail": ("FAIL = 'ajar'\ndef on_request(request): ...\n", "FAIL is"),
    "limit": ("TIME_LIMIT_S = 0\ndef on_request(request): ...\n", "TIME_LIMIT_S is"),
    "async generator": ("async def on_delta(delta):\n    yield delta\n", "is no plain or async function"),
}


@pytest.mark.parametrize(("source", "told"), BROKEN.values(), ids=BROKEN)
def test_a_module_that_cannot_be_used_is_an_error_of_the_configuration(
    tmp_path: Path, source: str, told: str
) -> None:
    (tmp_path / "rules.py").write_text(source)
    (tmp_path / "config.toml").write_text('[hooks]\nmodules = ["rules.py", "missing.py"]\n')
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "config.toml", env={})
    assert [problem.path for problem in caught.value.problems] == ["hooks.modules[0]", "hooks.modules[1]"]
    assert told in caught.value.problems[0].message
    assert "sk-secret" not in caught.value.problems[0].message


class Hand:
    """A clock whose sleeps end at once where `rings`, and else never."""

    def __init__(self, *, rings: bool = False, step_s: float = 0.0) -> None:
        self.rings, self.step_s, self.at_s = rings, step_s, 1e6

    def now_s(self) -> float:
        return self.at_s

    def tick_s(self) -> float:
        self.at_s += self.step_s
        return self.at_s

    async def sleep(self, duration_s: float) -> None:
        if not self.rings:
            await asyncio.Event().wait()

    def chance(self) -> float:
        return 0.5


RAISES = "def on_request(value):\n    raise ValueError('of the client')\n"
FAILING = {
    "raises": (RAISES, False, "raised ValueError in line 2"),
    "nonsense": ("def on_request(value):\n    return 7\n", False, "gave back a value of type int"),
    "hangs": (
        "import asyncio\nasync def on_request(value):\n    await asyncio.Event().wait()\n",
        True,
        "took longer than 5 s",
    ),
    "exits later": (
        "import asyncio\nasync def on_request(value):\n    await asyncio.sleep(0)\n    raise SystemExit\n",
        False,
        "tried to end the process",
    ),
    "exits": ("def on_request(value):\n    raise SystemExit\n", False, "tried to end the process"),
    "skips": (
        "from llmitm.hooks import Skip\ndef on_request(value):\n    raise Skip('of the client')\n",
        False,
        "raised Skip in line 3",
    ),
    "cancels at once": (
        "import asyncio\ndef on_request(value):\n    raise asyncio.CancelledError\n",
        False,
        "raised CancelledError in line 3",
    ),
    "cancels": (
        "import asyncio\nasync def on_request(value):\n    raise asyncio.CancelledError\n",
        False,
        "raised RuntimeError",
    ),
}


@pytest.mark.parametrize("fail", ["closed", "open"])
@pytest.mark.parametrize(("source", "rings", "told"), FAILING.values(), ids=FAILING)
def test_a_function_that_fails_refuses_or_is_as_if_it_were_not_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, source: str, rings: bool, told: str, fail: str
) -> None:
    hook = hook_of(tmp_path, f"{source}FAIL = {fail!r}\n")
    with caplog.at_level(logging.WARNING, "llmitm"):
        for _ in range(2):
            if fail == "open":
                assert called(hook, Hand(rings=rings)) is None
                continue
            with pytest.raises(Refused) as caught:
                called(hook, Hand(rings=rings))
            assert (caught.value.status, caught.value.code) == (500, "hook_failed")
            assert "on_request in rules.py" in str(caught.value)
            assert str(tmp_path) not in str(caught.value)
    assert len(caplog.records) == 1  # once a minute
    assert told in caplog.text
    assert "of the client" not in caplog.text


def test_what_a_function_refuses_is_said_in_its_words_also_where_it_is_fail_open(tmp_path: Path) -> None:
    source = "from llmitm.hooks import Refuse\nFAIL = 'open'\ndef on_request(value):\n    "
    source += "raise Refuse(451, 'No.')\n"
    with pytest.raises(Refused) as caught:
        called(hook_of(tmp_path, source), Hand())
    assert (caught.value.status, caught.value.code, str(caught.value)) == (451, "refused_by_hook", "No.")


def test_a_plain_function_that_holds_up_all_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "llmitm"):
        called(hook_of(tmp_path, "def on_request(value): return None\n"), Hand(step_s=0.06))
    assert "held up all exchanges for 60 ms" in caplog.text


def hook_of(folder: Path, source: str) -> modules.Hook:
    path = folder / "rules.py"
    path.write_text(source)
    return modules.load(path)[1][0]


def called(hook: modules.Hook, clock: Hand) -> Any:
    return asyncio.run(calling.call(hook, "value", (str,), clock))
