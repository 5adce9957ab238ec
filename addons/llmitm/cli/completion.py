"""`llmitm completion`: scripts for shells, made from the commands themselves.

They are whole: pressing Tab starts no Python. What they know is which words may follow which, which options
take a value, and where that is a file.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import typer

type Kind = Literal["flag", "file", "words", "text"]

WORDS: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("usage", "--by"): (
        *("hour", "day", "month", "model", "provider", "credential", "key", "endpoint", "outcome"),
    ),
    ("usage", "--chart"): ("cost", "tokens", "requests"),
    ("usage", "--status"): ("ok", "failed", "truncated", "client_gone", "429", "5xx"),
    ("logs", "--status"): ("ok", "failed", "truncated", "client_gone", "429", "5xx"),
    ("completion", ""): ("bash", "zsh", "fish"),
    ("config import", "--from"): (
        *("snake", "llm-api-proxy", "cloudflare-proxy", "ai-proxy", "litellm", "portkey", "cliproxyapi"),
    ),
}
"""Values that are offered, by command and option; the empty option is its argument."""


@dataclass(frozen=True, slots=True)
class Option:
    names: tuple[str, ...]
    kind: Kind
    help: str
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """A command, or the root."""

    path: str
    """Its words after `llmitm`, such as `config check`; empty for the root."""
    commands: tuple[tuple[str, str], ...]
    """What may follow, each with what it does."""
    options: tuple[Option, ...]
    argument: Kind | None
    words: tuple[str, ...] = ()
    """Of the argument."""


def places(command: Any, path: str = "") -> Iterator[Place]:
    """The root and all below it that is not hidden. `command` is what typer makes of an application."""
    inner = {name: one for name, one in getattr(command, "commands", {}).items() if not one.hidden}
    options, argument = [Option(("--help", "-h"), "flag", "Say what it does.")], None
    for one in command.params:
        if getattr(one, "hidden", False):
            continue
        if not one.opts[0].startswith("-"):
            argument = _kind(one, WORDS.get((path, "")))
            continue
        names = tuple(name for name in (*one.opts, *one.secondary_opts))
        if "--help" in names:
            continue
        words = next((WORDS[path, name] for name in names if (path, name) in WORDS), ())
        options.append(Option(names, _kind(one, words), _plain(one.help or ""), words))
    yield Place(
        path=path,
        commands=tuple((name, _plain(one.help or "").partition(". ")[0]) for name, one in inner.items()),
        options=tuple(options),
        argument=argument,
        words=WORDS.get((path, ""), ()),
    )
    for name, one in inner.items():
        yield from places(one, f"{path} {name}".strip())


def _kind(parameter: Any, words: object) -> Kind:
    if getattr(parameter, "is_flag", False):
        return "flag"
    if words:
        return "words"
    described = getattr(parameter, "type_descriptor", None)  # of older versions of typer `type`
    kind = described.annotation if described is not None else getattr(parameter, "type", None)
    is_file = kind is Path or type(kind).__name__ in ("Path", "TyperPath")
    return "file" if is_file else "text"


def _plain(text: str) -> str:
    return " ".join(text.split()).rstrip(".").replace("`", "")


def _joined(path: str, name: str) -> str:
    return f"{path} {name}".strip()


def _moves(every: list[Place]) -> list[tuple[str, str]]:
    """From `place:word` to the place that it leads to."""
    return [(f"{one.path}:{name}", _joined(one.path, name)) for one in every for name, _ in one.commands]


def _taking(every: list[Place], *kinds: Kind) -> list[str]:
    """`place:option` of options with a value of these kinds."""
    return [
        f"{one.path}:{name}"
        for one in every
        for option in one.options
        if option.kind in kinds
        for name in option.names
    ]


def _sh(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _patterns(keys: list[str]) -> str:
    return "|".join(_sh(key) for key in keys) if keys else "'-'"


# -- bash, from version 3.2 on

_BASH: Final = """\
# Completion of llmitm for bash, made by `llmitm completion bash`. Put it where bash looks for such:
#   llmitm completion bash > ~/.local/share/bash-completion/completions/llmitm
_llmitm() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} place="" option="" word at words=""
    for ((at = 1; at < COMP_CWORD; at++)); do
        word=${{COMP_WORDS[at]}}
        if [[ -n $option ]]; then
            [[ $word == "=" ]] || option=""
            continue
        fi
        case "$place:$word" in
{moves}
            {taking}) option=$word ;;
        esac
    done
    if [[ $current == "=" ]]; then
        current=""
    fi
    local IFS=$'\\n'
    if [[ -n $option ]]; then
        case "$place:$option" in
            {files})
                COMPREPLY=($(compgen -f -- "$current"))
                compopt -o filenames 2>/dev/null
                return ;;
{values}
        esac
    elif [[ $current == -* ]]; then
        case "$place" in
{options}
        esac
    else
        case "$place" in
            {arguments})
                COMPREPLY=($(compgen -f -- "$current"))
                compopt -o filenames 2>/dev/null
                return ;;
{commands}
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -F _llmitm llmitm
"""


def bash(every: list[Place]) -> str:
    def words(names: list[tuple[str, str]]) -> str:
        return "words=$'" + "\\n".join(name for name, _ in names) + "'"

    return _filled(_BASH, every, words)


def _filled(form: str, every: list[Place], written: Callable[[list[tuple[str, str]]], str]) -> str:
    """`written` sets names, each with what it is for, as what is offered."""

    def cases(found: Iterable[tuple[list[str], list[tuple[str, str]]]]) -> str:
        return "\n".join(f"            {_patterns(keys)}) {written(names)} ;;" for keys, names in found)

    return form.format(
        moves="\n".join(f"            {_sh(key)}) place={_sh(place)} ;;" for key, place in _moves(every)),
        taking=_patterns(_taking(every, "file", "words", "text")),
        files=_patterns(_taking(every, "file")),
        values=cases(
            ([f"{one.path}:{name}" for name in option.names], [(word, "") for word in option.words])
            for one in every
            for option in one.options
            if option.words
        ),
        options=cases(
            ([one.path], [(name, option.help) for option in one.options for name in option.names])
            for one in every
        ),
        arguments=_patterns([one.path for one in every if one.argument == "file"]),
        commands=cases(
            ([one.path], [*one.commands, *((word, "") for word in one.words)])
            for one in every
            if one.commands or one.words
        ),
    )


# -- zsh

_ZSH: Final = """\
#compdef llmitm
# Completion of llmitm for zsh, made by `llmitm completion zsh`. Put it into a folder of $fpath:
#   llmitm completion zsh > "${{fpath[1]}}/_llmitm"
_llmitm() {{
    local place="" option="" word at
    local -a found
    for ((at = 2; at < CURRENT; at++)); do
        word=${{words[at]}}
        if [[ -n $option ]]; then
            option=""
            continue
        fi
        case "$place:$word" in
{moves}
            {taking}) option=$word ;;
        esac
    done
    if [[ -z $option && $PREFIX == --*=* ]]; then
        option=${{PREFIX%%=*}}
        compset -P '*='
    fi
    if [[ -n $option ]]; then
        case "$place:$option" in
            {files}) _files; return ;;
{values}
            *) return 1 ;;
        esac
        _describe value found
    elif [[ $PREFIX == -* ]]; then
        case "$place" in
{options}
        esac
        _describe -o option found
    else
        case "$place" in
            {arguments}) _files; return ;;
{commands}
            *) return 1 ;;
        esac
        _describe command found
    fi
}}
if [[ "${{funcstack[1]}}" == _llmitm ]]; then
    _llmitm "$@"
else
    compdef _llmitm llmitm
fi
"""


def zsh(every: list[Place]) -> str:
    def found(names: list[tuple[str, str]]) -> str:
        told = [f"{name}:{said}" if said else name for name, said in names]
        return f"found=({' '.join(map(_sh, told))})"

    return _filled(_ZSH, every, found)


# -- fish

_FISH: Final = """\
# Completion of llmitm for fish, made by `llmitm completion fish`. Put it where fish looks for such:
#   llmitm completion fish > ~/.config/fish/completions/llmitm.fish
function __llmitm_place
    set -l place ''
    set -l option ''
    for word in (commandline -opc)[2..-1]
        if test -n "$option"
            set option ''
            continue
        end
        switch "$place:$word"
{moves}
            case {taking}
                set option $word
        end
    end
    echo $place
end
function __llmitm_at
    set -l place (__llmitm_place)
    test "$place" = "$argv[1]"
end
complete -c llmitm -f
{lines}
"""


def fish(every: list[Place]) -> str:
    lines: list[str] = []
    for one in every:
        start = f'complete -c llmitm -n "__llmitm_at {_fish(one.path)}"'
        lines += (f"{start} -a {_fish(name)} -d {_fish(said)}" for name, said in one.commands)
        lines += (f"{start} -a {_fish(word)}" for word in one.words)
        if one.argument == "file":
            lines.append(f"{start} -F")
        lines += (f"{start} {_fish_option(option)}" for option in one.options)
    moves = [
        f"            case {_fish(key)}\n                set place {_fish(place)}"
        for key, place in _moves(every)
    ]
    return _FISH.format(
        moves="\n".join(moves),
        taking=" ".join(map(_fish, _taking(every, "file", "words", "text"))),
        lines="\n".join(lines),
    )


def _fish_option(option: Option) -> str:
    names = [f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names]
    value = {"flag": "", "file": " -r -F", "words": f" -x -a {_fish(' '.join(option.words))}", "text": " -x"}
    return f"{' '.join(names)}{value[option.kind]} -d {_fish(option.help)}"


def _fish(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


SHELLS: Final[Mapping[str, Callable[[list[Place]], str]]] = {"bash": bash, "zsh": zsh, "fish": fish}


def script(shell: str, app: typer.Typer) -> str:
    """Raises KeyError for a shell that is not known."""
    return SHELLS[shell](list(places(typer.main.get_command(app))))


def run(shell: str | None, app: typer.Typer) -> int:
    """Prints the script. `shell`: None for the one that the environment names. Returns the exit status."""
    chosen = shell or Path(os.environ.get("SHELL", "")).name
    try:
        print(script(chosen, app), end="")
    except KeyError:
        told = f"{chosen} is not known" if chosen else "say which shell"
        print(f"llmitm: {told}; possible are {', '.join(SHELLS)}", file=sys.stderr)
        return 2
    return 0
