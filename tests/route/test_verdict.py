"""What an error answer means, and what is then done: every row."""

from __future__ import annotations

import pytest

from llmitm.config.routing import Retry
from llmitm.errors import Failure
from llmitm.route.verdict import VERDICTS, WHY, Ending, Next, of_failure, of_kind
from llmitm.translate.failures import kind_of_status

STATUSES = [
    (400, "client"),
    (401, "auth"),
    (402, "billing"),
    (403, "permission"),
    (404, "client"),
    (405, "client"),
    (408, "conflict"),
    (409, "conflict"),
    (413, "client"),
    (415, "client"),
    (422, "client"),
    (425, "conflict"),
    (429, "rate_limit"),
    (451, "client"),
    (499, "client"),
    (500, "server"),
    (501, "client"),
    (502, "server"),
    (503, "overloaded"),
    (504, "timeout"),
    (507, "server"),
    (520, "server"),
    (524, "server"),
    (529, "overloaded"),
]


@pytest.mark.parametrize(("status", "ending"), STATUSES)
def test_what_a_status_means(status: int, ending: str) -> None:
    assert of_kind(kind_of_status(status), status, has_credential=True) == ending


@pytest.mark.parametrize(("status", "ending"), STATUSES)
def test_what_is_said_of_a_clients_own_key_is_the_clients(status: int, ending: str) -> None:
    mine = {"auth", "billing", "permission", "rate_limit"}
    found = of_kind(kind_of_status(status), status, has_credential=False)
    assert found == ("client" if ending in mine else ending)


def test_a_prompt_that_is_too_long_is_told_by_its_words_not_by_its_status() -> None:
    assert of_kind("context_too_long", 400, has_credential=True) is Ending.CONTEXT


@pytest.mark.parametrize(
    ("failure", "ending"),
    [
        ("refused", "network"),
        ("dns", "network"),
        ("tls", "network"),
        ("proxy", "network"),
        ("connect_timeout", "network"),
        ("reset", "network"),
        ("truncated", "network"),
        ("malformed", "network"),
        ("first_byte_timeout", "timeout"),
        ("idle_timeout", "timeout"),
        ("exchange_timeout", "late"),
        ("killed", "killed"),
    ],
)
def test_what_no_answer_means(failure: str, ending: str) -> None:
    assert of_failure(Failure(failure)) == ending


ROWS: list[tuple[str, str, str, float | None, bool, bool, bool, str]] = [
    # ending, next, what rests, how long, doubles, alert, backs off, the client's own retries
    ("client", "deliver", "nothing", 0, False, False, False, "as_told"),
    ("context", "larger_model", "nothing", 0, False, False, False, "as_told"),
    ("conflict", "credential", "nothing", 0, False, False, True, "alone"),
    ("auth", "credential", "credential", None, False, True, False, "alone"),
    ("permission", "credential", "model", 600, False, True, False, "alone"),
    ("billing", "credential", "credential", 3600, False, True, False, "alone"),
    ("rate_limit", "credential", "model", 2, True, False, False, "when_back"),
    ("overloaded", "credential", "credential", 2, True, False, True, "alone"),
    ("server", "credential", "credential", 2, True, False, True, "alone"),
    ("network", "credential", "credential", 2, True, False, True, "alone"),
    ("timeout", "credential", "credential", 2, True, False, False, "alone"),
    ("late", "deliver", "nothing", 0, False, False, False, "never"),
    ("killed", "deliver", "nothing", 0, False, False, False, "never"),
    ("skipped", "credential", "nothing", 0, False, False, False, "never"),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_the_table(row: tuple[str, str, str, float | None, bool, bool, bool, str]) -> None:
    one = VERDICTS[Ending(row[0])]
    found = (one.next, one.rests, one.rest_s, one.doubles, one.is_alert, one.backs_off, one.again)
    assert (row[0], *found) == row


def test_the_table_is_whole() -> None:
    assert {Ending(row[0]) for row in ROWS} == set(Ending) == set(VERDICTS)
    assert set(WHY) == {ending for ending, one in VERDICTS.items() if one.rests != "nothing"}
    assert len(set(WHY.values())) == len(WHY)
    assert all(VERDICTS[ending].next is Next.CREDENTIAL for ending in WHY)


def test_rests_of_the_configuration_are_named_as_endings_that_let_something_rest() -> None:
    every = dict.fromkeys(map(str, WHY), 7)
    assert Retry.model_validate({"rest_s": every}).rest_s == every
    for ending in set(Ending) - set(WHY):
        with pytest.raises(ValueError, match="nothing rests after"):
            Retry.model_validate({"rest_s": {ending: 7}})
