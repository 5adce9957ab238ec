"""Changes of JSON documents: what they do, and that every other byte stays."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmitm.shape import paths, values
from llmitm.shape.splice import Edit, Kind, NotAnObject, edited


def edit(kind: Kind, path: str, text: str = "") -> Edit:
    return Edit(kind, paths.parse(path), text.encode())


def after(body: str, *edits: Edit) -> str:
    return edited(body.encode(), edits)[0].decode()


@pytest.mark.parametrize(
    ("body", "kind", "path", "text", "expected"),
    [
        # default: only where nothing is
        ('{"a": 1}', "default", "b", "2", '{"a": 1,"b":2}'),
        ('{"a": 1}', "default", "a", "2", '{"a": 1}'),
        ('{"a": null}', "default", "a", "2", '{"a": null}'),
        ("{ }", "default", "a.b.c", "[1]", '{ "a":{"b":{"c":[1]}}}'),
        ('{"a":{}}', "default", "a.b", "1", '{"a":{"b":1}}'),
        ('{"a":null}', "default", "a.b", "1", '{"a":null}'),
        ('{"t":[{"x":1}, {}]}', "default", "t.*.x", "2", '{"t":[{"x":1}, {"x":2}]}'),
        ('{"t":[1]}', "default", "t.*", "2", '{"t":[1]}'),
        ('{"t":[1]}', "default", "t.0", "2", '{"t":[1]}'),
        # override: always
        ('{"a" : 1.50 , "b":2 }', "override", "a", "7", '{"a" : 7 , "b":2 }'),
        ('{"a":1}', "override", "b.c", "2", '{"a":1,"b":{"c":2}}'),
        ('{"a":null}', "override", "a.b", "2", '{"a":{"b":2}}'),
        ('{"a":1,"b":0,"a":2}', "override", "a", "3", '{"a":3,"b":0,"a":3}'),
        ('{"\\u0061":1}', "override", "a", "3", '{"\\u0061":3}'),
        ('{"m":[{"c":"x"},{"c": "y"}]}', "override", "m.-1.c", '"z"', '{"m":[{"c":"x"},{"c": "z"}]}'),
        ('{"m":[1, 2 ,3]}', "override", "m.*", "0", '{"m":[0, 0 ,0]}'),
        ('{"m":{"a":1, "b":{"c":2}}}', "override", "m.*.c", "0", '{"m":{"a":1, "b":{"c":0}}}'),
        ('{"0":{"x":1}}', "override", "0.x", "2", '{"0":{"x":2}}'),
        ('{"a.b":1,"*":2,"c\\\\":3}', "override", "a\\.b", "9", '{"a.b":9,"*":2,"c\\\\":3}'),
        ('{"a.b":1,"*":2,"c\\\\":3}', "override", "\\*", "9", '{"a.b":1,"*":9,"c\\\\":3}'),
        ('{"a.b":1,"*":2,"c\\\\":3}', "override", "c\\\\", "9", '{"a.b":1,"*":2,"c\\\\":9}'),
        ('{"k\u00e9":"\u00e9\\ud800"}', "override", "x", "1", '{"k\u00e9":"\u00e9\\ud800","x":1}'),
        ('{"a":["\\ud800]"],"b":1}', "override", "b", "2", '{"a":["\\ud800]"],"b":2}'),
        ('{"a":{"x":"\\ud800"},"a":{"y":1}}', "override", "a.z", "2", None),
        # filter: where it is
        ('{"a": 1, "b": 2, "c": 3}', "filter", "a", "", '{"b": 2, "c": 3}'),
        ('{"a": 1, "b": 2, "c": 3}', "filter", "b", "", '{"a": 1, "c": 3}'),
        ('{"a": 1, "b": 2 , "c": 3 }', "filter", "c", "", '{"a": 1, "b": 2 }'),
        ('{ "a": 1 }', "filter", "a", "", "{  }"),
        ('{"a":1,"a":2,"b":3}', "filter", "a", "", '{"b":3}'),
        ('{"t":[{"x":1,"y":2},{"y":3}]}', "filter", "t.*.y", "", '{"t":[{"x":1},{}]}'),
        ('{"t":[1, 2, 3]}', "filter", "t.1", "", '{"t":[1, 3]}'),
        ('{"t":[1, 2, 3]}', "filter", "t.-1", "", '{"t":[1, 2]}'),
        ('{"t":[1, 2, 3]}', "filter", "t.*", "", '{"t":[]}'),
        ('{"a":1}', "filter", "b", "", '{"a":1}'),
        ('{"a":1}', "filter", "a.b.c", "", '{"a":1}'),
        ('{"a":null}', "filter", "a.b", "", '{"a":null}'),
        ('{"t":[]}', "filter", "t.0", "", '{"t":[]}'),
    ],
)
def test_an_edit_does_what_it_says_and_nothing_else(
    body: str, kind: Kind, path: str, text: str, expected: str | None
) -> None:
    if expected is None:
        expected = '{"a":{"x":"\\ud800","z":2},"a":{"y":1,"z":2}}'
    assert after(body, edit(kind, path, text)) == expected


def test_each_edit_sees_what_those_before_it_left() -> None:
    edits = (
        edit("default", "metadata.team", '"research"'),
        edit("override", "metadata.team", '"sales"'),
        edit("override", "new", '{"list":[{}]}'),
        edit("override", "new.list.0.x", "1"),
        edit("filter", "stop.0"),
        edit("filter", "stop.0"),
        edit("override", "gone", "1"),
        edit("filter", "gone"),
    )
    body = '{"model":"m", "stop" : ["a", "b", "c"]}'
    expected = '{"model":"m", "stop" : ["c"],"metadata":{"team":"sales"},"new":{"list":[{"x":1}]}}'
    assert after(body, *edits) == expected


def test_members_are_added_where_all_others_were_taken_out() -> None:
    body = '{ "a": 1, "b": 2 }'
    assert after(body, edit("filter", "*"), edit("override", "c", "3")) == '{ "c":3 }'


@pytest.mark.parametrize(
    ("body", "kind", "path", "at", "why"),
    [
        ('{"a":"text"}', "override", "a.b", "a", "is a string, no object or array"),
        ('{"a":1}', "default", "a.b.c", "a", "is a number, no object or array"),
        ('{"a":null}', "default", "a.b", "a", "is null, no object or array"),
        ('{"a":[1,2]}', "override", "a.2", "a", "has 2 elements, so there is none at 2"),
        ('{"a":[1,2]}', "override", "a.-3", "a", "has 2 elements, so there is none at -3"),
        ('{"a":[1,2]}', "override", "a.b", "a", "is an array: a whole number or * is due after it, not b"),
        ('{"b":1}', "override", "a.0.c", "a", "is not there, and no array is made up"),
        ('{"t":[{},"x"]}', "override", "t.*.c", "t.*", "is a string, no object or array"),
    ],
)
def test_what_does_not_fit_is_told_with_its_place(
    body: str, kind: Kind, path: str, at: str, why: str
) -> None:
    [(_, unfit)] = edited(body.encode(), (edit(kind, path, "1"),))[1]
    assert (unfit.at, unfit.why) == (at, why)


def test_what_fits_is_done_beside_what_does_not() -> None:
    assert after('{"t":[{},"x",{}]}', edit("override", "t.*.c", "1")) == '{"t":[{"c":1},"x",{"c":1}]}'


@pytest.mark.parametrize("body", ["", "[]", '"a"', '{"a":', '{"a":[1}', '{"a": }', '{"a":1,}', "not json"])
def test_what_is_no_json_object_is_refused(body: str) -> None:
    with pytest.raises(NotAnObject):
        edited(body.encode(), (edit("override", "a", "1"),))


def test_deep_nesting_beside_the_path_does_no_harm() -> None:
    deep = "[" * 100_000 + "]" * 100_000
    assert after('{"a":' + deep + ',"b":1}', edit("override", "b", "2")) == '{"a":' + deep + ',"b":2}'
    halves = '["\\ud800",' + deep + "]"
    assert after('{"a":' + halves + ',"b":1}', edit("filter", "b")) == '{"a":' + halves + "}"


# -- any document and any path, against the plain meaning on Python's own values

NAMES = st.sampled_from(["a", "b", "a.b", "*", "0", "1", "\\", "\u00e9", '"', ""])
NUMBERS = st.sampled_from(["0", "-1", "1.50", "1e3", "18446744073709551616", "-0"])


class Number(str):
    """A number as it is spelled."""


def documents() -> st.SearchStrategy[Any]:
    leaves = st.none() | st.booleans() | NUMBERS.map(Number) | st.text(max_size=3)
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
        max_leaves=12,
    )


@st.composite
def spelled(draw: st.DrawFn, value: Any) -> str:
    """The value with any blanks between its tokens."""
    blank = draw(st.sampled_from(["", " ", "\n\t"]))
    match value:
        case Number():
            return str(value)
        case dict():
            pairs = (
                f"{blank}{json.dumps(name)}{blank}:{blank}{draw(spelled(one))}" for name, one in value.items()
            )
            return "{" + ",".join(pairs) + blank + "}"
        case list():
            return "[" + ",".join(f"{blank}{draw(spelled(one))}" for one in value) + blank + "]"
        case _:
            return json.dumps(value, ensure_ascii=draw(st.booleans()))


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, Any, list[tuple[Kind, tuple[str, ...], Any]]]:
    document = draw(st.dictionaries(NAMES, documents(), max_size=4))
    parts = st.sampled_from(["a", "b", "a\\.b", "\\*", "*", "0", "1", "-1", "\\\\", "\u00e9"])
    edits = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["default", "override", "filter"]),
                st.lists(parts, min_size=1, max_size=3).map(tuple),
                documents(),
            ),
            min_size=1,
            max_size=3,
        )
    )
    return draw(spelled(document)), document, edits  # type: ignore[return-value]


def text_of(value: Any) -> str:
    match value:
        case Number():
            return str(value)
        case dict():
            return "{" + ",".join(f"{json.dumps(name)}:{text_of(one)}" for name, one in value.items()) + "}"
        case list():
            return "[" + ",".join(map(text_of, value)) + "]"
        case _:
            return json.dumps(value)


def plain(part: str) -> str:
    """The name that a part of a path says."""
    return part.replace("\\.", ".").replace("\\*", "*").replace("\\\\", "\\")


def places(target: Any, part: str) -> list[Any]:
    """Where a part of a path leads within a plain value."""
    if part == "*":
        return list(target) if isinstance(target, dict) else list(range(len(target)))
    if isinstance(target, dict):
        return [plain(part)] if plain(part) in target else []
    if part.lstrip("-").isdecimal() and -len(target) <= int(part) < len(target):
        return [int(part)]
    return []


def can_be_made(parts: tuple[str, ...]) -> bool:
    """Whether objects alone lead there."""
    return not any(part == "*" or part.lstrip("-").isdecimal() for part in parts)


def made_up(parts: tuple[str, ...], value: Any) -> Any:
    for part in reversed(parts):
        value = {plain(part): value}
    return value


def applied(target: Any, kind: Kind, parts: tuple[str, ...], value: Any) -> None:
    """The plain meaning of an edit."""
    if not isinstance(target, (dict, list)):
        return
    part, rest = parts[0], parts[1:]
    found = places(target, part)
    if kind == "filter" and not rest:
        for place in sorted(found, reverse=True):
            del target[place]
    elif not found and kind != "filter" and part != "*" and isinstance(target, dict) and can_be_made(rest):
        target[plain(part)] = made_up(rest, json_copy(value))
    elif not rest:
        for place in found if kind == "override" else []:
            target[place] = json_copy(value)
    else:
        for place in found:
            if target[place] is None and kind == "override" and can_be_made(rest):
                target[place] = made_up(rest, json_copy(value))
            else:
                applied(target[place], kind, rest, value)


def json_copy(value: Any) -> Any:
    match value:
        case dict():
            return {name: json_copy(one) for name, one in value.items()}
        case list():
            return [json_copy(one) for one in value]
        case _:
            return value


def read(text: str) -> Any:
    return json.loads(text, parse_int=Number, parse_float=Number)


@settings(deadline=None)
@given(cases())
def test_edits_mean_what_they_mean_on_plain_values(
    case: tuple[str, Any, list[tuple[Kind, tuple[str, ...], Any]]],
) -> None:
    body, document, edits = case
    made_of = [edit(kind, ".".join(parts), text_of(value)) for kind, parts, value in edits]
    made = after(body, *made_of)
    nothing = edit("filter", "no-such-name")  # after it, in no order of kinds, all goes the longer way
    assert after(body, nothing, *made_of) == made
    for kind, parts, value in edits:
        applied(document, kind, parts, value)
    assert list_of(read(made)) == list_of(document)


def list_of(value: Any) -> Any:
    """The value with the order of its members."""
    match value:
        case dict():
            return ["{", *([name, list_of(one)] for name, one in value.items())]
        case list():
            return ["[", *map(list_of, value)]
        case _:
            return (type(value), value)


@settings(deadline=None)
@given(cases())
def test_bytes_before_and_behind_an_edit_stay(
    case: tuple[str, Any, list[tuple[Kind, tuple[str, ...], Any]]],
) -> None:
    body, document, [(kind, parts, value), *_] = case
    made = after(body, edit(kind, ".".join(parts), text_of(value)))
    if "*" in parts:
        parts = ()
    if made == body or not parts:
        return
    begin = 0
    while begin < min(len(made), len(body)) and made[begin] == body[begin]:
        begin += 1
    end = 0
    while end < min(len(made), len(body)) - begin and made[-1 - end] == body[-1 - end]:
        end += 1
    gone = body[begin : len(body) - end]
    come = made[begin : len(made) - end]
    # one piece gives way to one piece: no longer than the value, and the names on the way to it
    assert len(come) <= len(text_of(value)) + sum(len(json.dumps(part)) + 6 for part in parts)
    if kind == "default":
        assert gone == ""


def test_values_are_spelled_as_json() -> None:
    made = values.text_of({"b": [True, None, 0.2, 2**70, "\u00e9\n"], "a": {}})
    assert made.decode() == '{"b":[true,null,0.2,1180591620717411303424,"\u00e9\\n"],"a":{}}'
