"""From the environment to a world, or to an exit that says what is wrong."""

from __future__ import annotations

import os
import secrets
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path

from llmitm import world
from llmitm.config.path import find
from llmitm.config.schema import Config
from llmitm.config.watch import Source
from llmitm.errors import ConfigError
from llmitm.record.log import open_log


def world_or_exit(
    path: Path | None = None, *, host: str | None = None, port: int | None = None
) -> world.World:
    """Reads the configuration (`path`, else CONFIG_PATH, else config.toml) and builds the world from it.

    Exits with status 2 and every problem on standard error where it cannot be used.
    """
    source = Source(find(path, os.environ), env=os.environ, host=host, port=port)
    try:
        config = source.read()
    except ConfigError as error:
        print(f"llmitm: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    made = world.build(config)
    made.is_fast = os.environ.get("LLMITM_FAST", "1") != "0"
    made.source = source
    if "NOTIFY_SOCKET" in os.environ:
        from llmitm.service.supervisor import Supervisor

        made.supervisor = Supervisor.of(os.environ)

    def keep_log(config: Config) -> None:
        settings = config.log
        open_log(
            made.redact,
            level=settings.level,
            form=settings.format,
            file=settings.file,
            rotation=settings.rotation,
            keep=settings.keep,
        )

    keep_log(config)
    made.followers.append(keep_log)
    if config.ledger.enabled:
        _keep_ledger(made, source.path.absolute().parent)
    if config.telemetry.enabled:
        _keep_tracing(made, source.path.absolute().parent)
    return made


def _keep_tracing(made: world.World, folder: Path) -> None:
    from llmitm.record.traces.collector import HttpCollector  # an extra, and costs memory
    from llmitm.record.traces.tracing import Tracing
    from llmitm.trip.spoken import Spoken

    config = made.config
    settings = config.telemetry
    tls = None
    if settings.tls_ca is not None:
        path = folder / settings.tls_ca.expanduser()
        try:
            tls = ssl.create_default_context(cafile=path)
        except OSError as error:  # what is no certificate is one, too
            print(f"llmitm: telemetry.tls_ca: {path} cannot be used: {error}", file=sys.stderr)
            raise SystemExit(2) from None
    tracing = Tracing(
        settings,
        made.clock,
        made.redact,
        HttpCollector(settings, tls),
        labels=made.metrics.labels,
        read=Spoken(made.redact, settings.content),
        instance=secrets.token_hex(8),
        scheme="https" if config.server.tls_cert is not None else "http",
    )
    made.tracing = tracing
    made.sinks = (*made.sinks, tracing)
    made.followers.append(lambda config: tracing.forget())
    made.metrics.watch_queue("telemetry", lambda: tracing.waiting, lambda: tracing.lost)


def _keep_ledger(made: world.World, folder: Path) -> None:
    from llmitm.record.ledger.books import Books  # costs memory where it is not wanted
    from llmitm.record.ledger.place import Place
    from llmitm.record.ledger.spent import Sum, Untold, spent

    place = Place.of(made.config.ledger.url, folder)
    books = Books(made.config, place, made.clock, made.redact, begun=lambda: made.numbered)
    made.ledger = books
    made.sinks = (*made.sinks, books)
    made.followers.append(books.follow)
    made.metrics.watch_queue("ledger", lambda: books.waiting + books.spilled, lambda: books.lost)
    if made.spending is not None:

        async def read(since_s: float, until_s: float) -> tuple[Sequence[Sum], Sequence[Untold]]:
            await books.flush()
            return await spent(place, since_s, until_s)

        made.spending.read = read
        made.spending.outliving = made.presence
