"""The commands: arguments and printing only."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from llmitm import __version__
from llmitm.cli import service_app

app = typer.Typer(
    name="llmitm",
    help="LLM in the middle: an LLM gateway that you can see through.",
    no_args_is_help=False,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
config_app = typer.Typer(help="The configuration file.", no_args_is_help=True)
certs_app = typer.Typer(help="Certificates to try TLS with.", no_args_is_help=True)
test_app = typer.Typer(
    help="Sends real requests through the gateway and says truly which gateway and key answered.",
    invoke_without_command=True,
)
route_app = typer.Typer(help="Where requests would go.", no_args_is_help=True)
ledger_app = typer.Typer(help="The ledger: what exchanges left behind.", no_args_is_help=True)
dashboard_app = typer.Typer(help="The dashboard.", no_args_is_help=True)
keys_app = typer.Typer(help="Keys for clients: made, listed, revoked.", no_args_is_help=True)
app.add_typer(config_app, name="config")
app.add_typer(certs_app, name="certs")
app.add_typer(dashboard_app, name="dashboard")
app.add_typer(keys_app, name="keys")
app.add_typer(ledger_app, name="ledger")
app.add_typer(route_app, name="route")
app.add_typer(service_app.app, name="service")
app.add_typer(test_app, name="test")

Config = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", readable=False, help="Configuration file (else CONFIG_PATH, else config.toml)."
    ),
]
Port = Annotated[int | None, typer.Option("--port", "-p", help="In place of the configuration's.")]
Host = Annotated[
    str | None, typer.Option("--host", help="Address to listen on, in place of the configuration's.")
]


def _chosen(ctx: typer.Context, config: Path | None) -> Path | None:
    """`--config` counts before and after the subcommand; after wins."""
    parent = ctx.find_root().params.get("config")
    return config or (Path(parent) if parent else None)


@app.callback(invoke_without_command=True)
def root(
    ctx: typer.Context,
    config: Config = None,
    version: Annotated[bool, typer.Option("--version", "-V", help="Print the version.")] = False,
) -> None:
    if version:
        print(f"llmitm {__version__}")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        print(ctx.get_help())


@app.command()
def serve(ctx: typer.Context, config: Config = None, port: Port = None, host: Host = None) -> None:
    """Run the gateway in the foreground, without mitmproxy's terminal."""
    from llmitm.edge import serve as served
    from llmitm.edge.start import world_or_exit

    raise SystemExit(served.run(world_or_exit(_chosen(ctx, config), host=host, port=port)))


PidFile = Annotated[
    Path | None,
    typer.Option("--pid-file", help="Its PID file, in place of the one that belongs to the configuration."),
]


@app.command()
def run(
    ctx: typer.Context,
    config: Config = None,
    port: Port = None,
    host: Host = None,
    daemon: Annotated[
        bool, typer.Option("--daemon", "-d", help="In the background; returns when it listens.")
    ] = False,
    pid_file: PidFile = None,
    log_file: Annotated[
        Path | None,
        typer.Option("--log-file", help="What --daemon prints to, in place of llmitm.log beside the file."),
    ] = None,
    handed: Annotated[str | None, typer.Option("--handed", hidden=True)] = None,
) -> None:
    """Run the gateway, one for a configuration, so that status, reload and stop find it."""
    from llmitm.cli import running

    raise SystemExit(
        running.run(
            _chosen(ctx, config),
            host=host,
            port=port,
            pid_file=pid_file,
            log_file=log_file,
            daemon=daemon,
            handed=handed,
        )
    )


@app.command()
def status(ctx: typer.Context, config: Config = None, pid_file: PidFile = None) -> None:
    """Say whether `llmitm run` runs with this configuration. Exit status 0 if it does, 3 if not."""
    from llmitm.cli import running

    raise SystemExit(running.status(_chosen(ctx, config), pid_file))


@app.command()
def reload(ctx: typer.Context, config: Config = None, pid_file: PidFile = None) -> None:
    """Have `llmitm run` read its configuration anew, and say whether it could. Exit status 2 if not."""
    from llmitm.cli import running

    raise SystemExit(running.reload(_chosen(ctx, config), pid_file))


@app.command()
def stop(
    ctx: typer.Context,
    config: Config = None,
    pid_file: PidFile = None,
    timeout_s: Annotated[
        float | None,
        typer.Option("--timeout", min=0, help="Seconds to wait, else a little more than shutdown_timeout_s."),
    ] = None,
) -> None:
    """Stop `llmitm run`: what is under way may end. Exit status 1 if it still runs when time is up."""
    from llmitm.cli import running

    raise SystemExit(running.stop(_chosen(ctx, config), pid_file, timeout_s))


@app.command()
def update(
    ctx: typer.Context,
    config: Config = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only say whether there is a newer version: exit status 4.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    token: Annotated[
        str | None,
        typer.Option("--token", envvar="LLMITM_UPDATE_TOKEN", help="Of an index of your own."),
    ] = None,
    service: Annotated[str, typer.Option("--service", help="Name of the service to restart.")] = "llmitm",
) -> None:
    """Install the newest version as this one was installed, restart the service, and go back if it fails."""
    from llmitm.cli import update

    raise SystemExit(
        update.run(_chosen(ctx, config), is_check=check, is_yes=yes, token=token, service=service)
    )


@app.command()
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running and print curl lines.")] = False,
    port: Annotated[int, typer.Option("--port", "-p", help="Port of the gateway; 0 takes a free one.")] = 0,
) -> None:
    """Show the gateway at work: an embedded provider behind it, no key, no network."""
    from llmitm.demo import show

    raise SystemExit(show.run(keep=keep, port=port))


@app.command()
def init(
    out: Annotated[Path | None, typer.Option("--out", "-o", help="In place of config.toml.")] = None,
    client_key: Annotated[
        bool | None, typer.Option("--client-key/--no-client-key", help="Whether clients need a key.")
    ] = None,
) -> None:
    """Write a first configuration, from the keys in the environment, or from three answers."""
    from llmitm.cli import init

    raise SystemExit(init.run(out, os.environ, client_key=client_key, terminal=init.Terminal.here()))


@app.command()
def completion(
    shell: Annotated[str | None, typer.Argument(help="bash, zsh or fish; else that of $SHELL.")] = None,
) -> None:
    """Print a script with which the shell completes these commands, their options and files."""
    from llmitm.cli import completion

    raise SystemExit(completion.run(shell, app))


@app.command()
def doctor(
    ctx: typer.Context,
    config: Config = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object, and nothing else.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Ask nobody beyond this machine.")] = False,
) -> None:
    """Look the gateway over: what is broken, or soon will be, and what mends it. Exit status 1 for errors."""
    from llmitm.cli import doctor

    raise SystemExit(doctor.run(_chosen(ctx, config), as_json=json, is_offline=offline))


@config_app.command("check")
def config_check(
    ctx: typer.Context,
    path: Annotated[
        Path | None, typer.Argument(readable=False, help="The file, in place of --config.")
    ] = None,
    config: Config = None,
) -> None:
    """Say what would run, secrets masked. Exit status 2 where the file cannot be used."""
    from llmitm.config.describe import describe
    from llmitm.config.load import load
    from llmitm.config.path import find
    from llmitm.errors import ConfigError

    try:
        loaded = load(find(path or _chosen(ctx, config), os.environ), env=os.environ)
    except ConfigError as error:
        print(f"llmitm: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    print(describe(loaded))


IMPORT_KINDS = ["snake", "llm-api-proxy", "cloudflare-proxy", "litellm", "portkey", "ai-proxy", "cliproxyapi"]


@config_app.command("import")
def config_import(
    file: Annotated[Path, typer.Argument(readable=False, help="A configuration of another gateway.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write it here; a file that is there stays.")
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            "--from",
            autocompletion=lambda: IMPORT_KINDS,
            help=f"Whose it is, where that is not recognised: {', '.join(IMPORT_KINDS)}.",
        ),
    ] = None,
    secrets_to_env: Annotated[
        bool, typer.Option("--secrets-to-env", help="Put names of variables in the place of keys.")
    ] = False,
) -> None:
    """Say another gateway's configuration as one of ours, and what of it has no counterpart."""
    from llmitm.cli import importing

    raise SystemExit(importing.run(file, out, kind, secrets_to_env=secrets_to_env))


@certs_app.command("new")
def certs_new(
    names: Annotated[
        list[str] | None, typer.Argument(help="Host names and addresses to be valid for.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder to write to.")] = Path("certs"),
    days: Annotated[int, typer.Option("--days", min=1, max=3650, help="How long it is valid.")] = 365,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")] = False,
) -> None:
    """Make a self-signed certificate and key for trying TLS out."""
    from llmitm.cli import certs

    try:
        cert, key = certs.write_pair(
            out, tuple(names or ("localhost", "127.0.0.1", "::1")), days, force=force
        )
    except (FileExistsError, ValueError) as error:
        print(f"llmitm: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    except OSError as error:
        print(f"llmitm: {out} cannot be written: {error.strerror}", file=sys.stderr)
        raise typer.Exit(1) from None
    print(f'Wrote {cert} and {key}. In config.toml:\n\n[server]\ntls_cert = "{cert}"\ntls_key = "{key}"\n')
    print(f"Clients must trust {cert}, for example: curl --cacert {cert} https://localhost:8811/health")


@keys_app.command("new")
def keys_new(
    ctx: typer.Context,
    name: Annotated[str, typer.Option("--name", "-n", help="What it is called in logs and limits.")],
    config: Config = None,
    expires: Annotated[
        str | None, typer.Option("--expires", help="A date, a time with its offset, or 12h, 30d, 4w.")
    ] = None,
    models: Annotated[
        list[str] | None, typer.Option("--models", help="Globs of models; commas, or several times.")
    ] = None,
    endpoints: Annotated[
        list[str] | None, typer.Option("--endpoints", help="Globs of endpoints; commas, or several times.")
    ] = None,
    paths: Annotated[
        list[str] | None,
        typer.Option("--paths", help="Globs of paths beside the known ones; commas, or several times."),
    ] = None,
    rpm: Annotated[int | None, typer.Option("--rpm", min=1, help="Requests a minute.")] = None,
    tpm: Annotated[int | None, typer.Option("--tpm", min=1, help="Tokens a minute.")] = None,
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", min=1, help="Requests at the same time.")
    ] = None,
    budget_usd: Annotated[
        float | None, typer.Option("--budget-usd", min=0, help="US dollars in a period.")
    ] = None,
    budget_tokens: Annotated[
        int | None, typer.Option("--budget-tokens", min=0, help="Tokens in a period.")
    ] = None,
    budget_period: Annotated[
        str | None,
        typer.Option("--budget-period", help="daily, weekly, monthly (unless it is said) or total."),
    ] = None,
) -> None:
    """Make a key, print it once on standard output, and write its hash into the configuration."""
    from llmitm.cli import keys

    options = {
        "expires_at": expires,
        "allowed_models": _several(models),
        "allowed_endpoints": _several(endpoints),
        "allowed_paths": _several(paths),
        "rpm": rpm,
        "tpm": tpm,
        "concurrency": concurrency,
        "budget_usd": budget_usd,
        "budget_tokens": budget_tokens,
        "budget_period": budget_period,
    }
    raise SystemExit(keys.new(_chosen(ctx, config), name, options))


def _several(words: list[str] | None) -> list[str]:
    return [one.strip() for word in words or () for one in word.split(",") if one.strip()]


@keys_app.command("list")
def keys_list(ctx: typer.Context, config: Config = None) -> None:
    """Print a table of the keys; no key is in it."""
    from llmitm.cli import keys

    raise SystemExit(keys.show(_chosen(ctx, config)))


@keys_app.command("revoke")
def keys_revoke(ctx: typer.Context, name: str, config: Config = None) -> None:
    """Disable a key, at once for all gateways that share a store."""
    from llmitm.cli import keys

    raise SystemExit(keys.revoke(_chosen(ctx, config), name))


@route_app.command("explain")
def route_explain(
    ctx: typer.Context,
    model: str,
    config: Config = None,
    endpoint: Annotated[str | None, typer.Option("--endpoint", "-e", help="Else the default one.")] = None,
    key: Annotated[str | None, typer.Option("--key", "-k", help="Name of a client's key.")] = None,
) -> None:
    """Print who would be asked for a model, in which order, and who would not, and why. Sends nothing."""
    from llmitm.cli import route

    raise SystemExit(route.run(_chosen(ctx, config), model, endpoint, key))


Model = Annotated[
    str | None, typer.Option("--model", "-m", help="As asked for, sent or answered; may be a glob.")
]
OfProvider = Annotated[str | None, typer.Option("--provider", help="The last one asked; may be a glob.")]
OfKey = Annotated[str | None, typer.Option("--key", "-k", help="Name of a client's key; may be a glob.")]
OfEndpoint = Annotated[str | None, typer.Option("--endpoint", "-e", help="May be a glob.")]
OfStatus = Annotated[
    str | None, typer.Option("--status", "-s", help="Such as 429, 5xx, failed, ok, truncated, client_gone.")
]
Since = Annotated[
    str | None,
    typer.Option("--since", help="A date, an RFC 3339 time (UTC without an offset), or 90m, 12h, 7d."),
]
Until = Annotated[str | None, typer.Option("--until", help="The same; not included itself.")]


@app.command()
def logs(
    ctx: typer.Context,
    config: Config = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="How many, the newest.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    attempts: Annotated[bool, typer.Option("--attempts", "-a", help="With every attempt.")] = False,
    bodies: Annotated[bool, typer.Option("--bodies", help="With the bodies that were kept.")] = False,
    model: Model = None,
    provider: OfProvider = None,
    key: OfKey = None,
    endpoint: OfEndpoint = None,
    status: OfStatus = None,
    min_cost: Annotated[float | None, typer.Option("--min-cost", help="US dollars.")] = None,
    min_latency: Annotated[float | None, typer.Option("--min-latency", help="Milliseconds.")] = None,
    text: Annotated[
        str | None, typer.Option("--text", "-t", help="Part of an id, path, error, model or credential.")
    ] = None,
    since: Since = None,
    until: Until = None,
) -> None:
    """Print exchanges of the ledger, the newest last."""
    from llmitm.cli import logs

    wanted = {
        "model": model,
        "provider": provider,
        "key": key,
        "endpoint": endpoint,
        "status": status,
        "min_cost_usd": min_cost,
        "min_latency_ms": min_latency,
        "text": text,
        "since": since,
        "until": until,
    }
    raise SystemExit(
        logs.run(
            _chosen(ctx, config),
            wanted,
            limit=limit,
            follow=follow,
            as_json=json,
            with_attempts=attempts,
            with_bodies=bodies,
        )
    )


@app.command()
def usage(
    ctx: typer.Context,
    config: Config = None,
    by: Annotated[
        str,
        typer.Option(
            "--by",
            "-b",
            help="One or more of hour, day, month, model, provider, credential, key, endpoint, outcome.",
        ),
    ] = "day",
    csv: Annotated[bool, typer.Option("--csv", help="Comma-separated values.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    chart: Annotated[
        str | None, typer.Option("--chart", help="Bars of cost, tokens or requests in place of the table.")
    ] = None,
    model: Model = None,
    provider: OfProvider = None,
    key: OfKey = None,
    endpoint: OfEndpoint = None,
    status: OfStatus = None,
    since: Since = None,
    until: Until = None,
) -> None:
    """Print what was used and what it cost, as the ledger has it. Days are those of UTC."""
    from llmitm.cli import usage

    wanted = {
        "model": model,
        "provider": provider,
        "key": key,
        "endpoint": endpoint,
        "status": status,
        "since": since,
        "until": until,
    }
    form = "json" if json else "csv" if csv else "table"
    raise SystemExit(usage.run(_chosen(ctx, config), wanted, by=by, form=form, chart=chart))


@app.command()
def top(
    ctx: typer.Context,
    config: Config = None,
    url: Annotated[str | None, typer.Option(help="Where the gateway listens, if not here.")] = None,
    interval: Annotated[
        float, typer.Option("--interval", "-n", min=0.2, help="Seconds between looks.")
    ] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Print it once, and end.")] = False,
) -> None:
    """Watch a running gateway: rates, latencies, errors, cost, and the newest exchanges."""
    from llmitm.cli import top as shown

    raise SystemExit(shown.run(_chosen(ctx, config), url=url, every_s=interval, once=once))


@app.command()
def budgets(
    ctx: typer.Context,
    config: Config = None,
    json: Annotated[bool, typer.Option("--json", help="A JSON list.")] = False,
) -> None:
    """Print what may be spent in each period, what is spent of it, and when it renews."""
    from llmitm.cli import budgets

    raise SystemExit(budgets.run(_chosen(ctx, config), as_json=json))


@app.command("open")
def open_dashboard(
    ctx: typer.Context,
    config: Config = None,
    browser: Annotated[bool, typer.Option(help="Open it in a browser, too.")] = True,
) -> None:
    """Print where the dashboard is, and open it."""
    from llmitm.cli import dashboard

    raise SystemExit(dashboard.show(_chosen(ctx, config), browser=browser))


@dashboard_app.command("password")
def dashboard_password() -> None:
    """Ask for a password, or read one from standard input, and print the hash for the configuration."""
    from llmitm.cli import dashboard

    raise SystemExit(dashboard.password())


@ledger_app.command("verify")
def ledger_verify(ctx: typer.Context, config: Config = None) -> None:
    """Say what is missing in the ledger, and whether its file is sound. Exit status 1 if anything is."""
    from llmitm.cli import ledger

    raise SystemExit(ledger.check(_chosen(ctx, config)))


@test_app.callback()
def test_default(ctx: typer.Context, config: Config = None) -> None:
    ctx.find_root().params["config"] = _chosen(ctx, config)
    if ctx.invoked_subcommand is None:
        _probe(ctx, "all", None, None)


@test_app.command("all")
def test_all(ctx: typer.Context, config: Config = None) -> None:
    """One request for each provider that has a test_model."""
    _probe(ctx, "all", None, config)


@test_app.command("gateway")
def test_gateway(ctx: typer.Context, config: Config = None) -> None:
    """Two full rotations over the Cloudflare gateways."""
    _probe(ctx, "gateway", None, config)


@test_app.command("provider")
def test_provider(ctx: typer.Context, name: str, config: Config = None) -> None:
    """One request with every credential of one provider."""
    _probe(ctx, "provider", name, config)


def _probe(ctx: typer.Context, what: str, name: str | None, config: Path | None) -> None:
    from llmitm.cli import probe

    raise SystemExit(probe.run(_chosen(ctx, config), what, name))


def main() -> None:
    app()


if __name__ == "__main__":
    main()
