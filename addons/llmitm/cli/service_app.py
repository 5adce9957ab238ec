"""The words of `llmitm service`. What they do is imported when one is given."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Run by the machine: systemd; launchd and Windows were generated and linted, never tried.",
    no_args_is_help=True,
)

Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Configuration file (else CONFIG_PATH, else config.toml)."),
]
Scope = Annotated[
    bool | None,
    typer.Option("--system/--user", help="The machine's or your own; else the machine's where you are root."),
]
Name = Annotated[str, typer.Option("--name", help="Of the service, for several on one machine.")]
RunAs = Annotated[
    str | None,
    typer.Option("--run-as", help="User of a service of the system, else the file's owner, else llmitm."),
]
Printed = Annotated[bool, typer.Option("--print", help="Print what would be written and run, and end.")]
For = Annotated[
    str | None, typer.Option("--for", help="systemd, launchd or windows, with --print; else this machine's.")
]


def _run(
    ctx: typer.Context,
    action: str,
    config: Path | None,
    system: bool | None,
    name: str,
    manager: str | None = None,
    run_as: str | None = None,
    printed: bool = False,
) -> None:
    from llmitm.cli import service
    from llmitm.service.plan import Action

    given = ctx.find_root().params.get("config")
    raise SystemExit(
        service.run(
            Action(action),
            config or (Path(given) if given else None),
            is_system=system,
            name=name,
            manager=manager,
            run_as=run_as,
            is_printed=printed,
        )
    )


@app.command()
def install(
    ctx: typer.Context,
    config: Config = None,
    scope: Scope = None,
    name: Name = "llmitm",
    run_as: RunAs = None,
    manager: For = None,
    printed: Printed = False,
) -> None:
    """Start the gateway now and with the machine. Everything it keeps lies beside its configuration."""
    _run(ctx, "install", config, scope, name, manager, run_as, printed)


@app.command()
def uninstall(
    ctx: typer.Context,
    config: Config = None,
    scope: Scope = None,
    name: Name = "llmitm",
    printed: Printed = False,
) -> None:
    """Stop it and remove the service; the configuration and what it kept stay."""
    _run(ctx, "uninstall", config, scope, name, printed=printed)


@app.command()
def start(ctx: typer.Context, scope: Scope = None, name: Name = "llmitm", printed: Printed = False) -> None:
    """Start an installed service; returns when it is ready."""
    _run(ctx, "start", None, scope, name, printed=printed)


@app.command()
def stop(ctx: typer.Context, scope: Scope = None, name: Name = "llmitm", printed: Printed = False) -> None:
    """Stop it; what is under way may end."""
    _run(ctx, "stop", None, scope, name, printed=printed)


@app.command()
def restart(ctx: typer.Context, scope: Scope = None, name: Name = "llmitm", printed: Printed = False) -> None:
    """Stop it and start it anew."""
    _run(ctx, "restart", None, scope, name, printed=printed)


@app.command()
def status(ctx: typer.Context, scope: Scope = None, name: Name = "llmitm", printed: Printed = False) -> None:
    """What the service manager says of it. Exit status 0 where it runs."""
    _run(ctx, "status", None, scope, name, printed=printed)
