"""The ledger's tables for SQLAlchemy: for who reads, and for migrations. The gateway needs none of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Double,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.types import TypeEngine

from llmitm.record.ledger import columns
from llmitm.record.ledger.columns import Kind, Shape
from llmitm.record.ledger.rows import rfc3339


class Moment(TypeDecorator[str]):
    """RFC 3339 text, whatever the database makes of it."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        is_text = dialect.name == "sqlite"
        return dialect.type_descriptor(Text() if is_text else DateTime(timezone=True))

    def process_bind_param(self, value: str | None, dialect: Dialect) -> Any:
        if value is None or dialect.name == "sqlite":
            return value
        return datetime.fromisoformat(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        return rfc3339(value.astimezone(UTC).timestamp()) if isinstance(value, datetime) else value


_TYPES: Final[dict[Kind, Callable[[], Any]]] = {
    "text": Text,
    "int": Integer,
    "big": BigInteger,
    "real": Double,
    "bool": Boolean,
    "moment": Moment,
    "serial": lambda: BigInteger().with_variant(Integer(), "sqlite"),
}

METADATA: Final = MetaData()


def _table(shape: Shape) -> Table:
    return Table(
        shape.name,
        METADATA,
        *(Column(one.name, _TYPES[one.kind](), nullable=not one.is_needed) for one in shape.columns),
        PrimaryKeyConstraint(*shape.key),
        *(UniqueConstraint(*names) for names in shape.unique),
        *(Index(f"ix_{shape.name}_{'_'.join(names)}", *names) for names in shape.indexes),
        sqlite_with_rowid=shape.has_row_id,
    )


RUNS: Final = _table(columns.RUNS)
EXCHANGES: Final = _table(columns.EXCHANGES)
ATTEMPTS: Final = _table(columns.ATTEMPTS)
BODIES: Final = _table(columns.BODIES)
LEGS: Final = _table(columns.LEGS)
