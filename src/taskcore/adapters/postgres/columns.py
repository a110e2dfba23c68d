"""What the tables have in common: the names of constraints, and kinds of columns."""

import sqlalchemy as sa

from taskcore.domain.text_rules import TextRule

metadata = sa.MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "uq": "%(table_name)s_%(column_0_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)


def limits(rule: TextRule, column: str | None = None) -> sa.CheckConstraint:
    name = column or rule.field
    return sa.CheckConstraint(f"char_length({name}) BETWEEN {rule.min} AND {rule.max}", name=name)


def identity() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True)


def moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(
        name,
        sa.DateTime(timezone=True),
        nullable=nullable,
        server_default=None if nullable else sa.text("CURRENT_TIMESTAMP"),
    )
