"""An index for each filter of the lists of users and events, in the order of the list."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
made = "6829b46f13b343be"

FILTERS = {
    "users": [["role", "id"], ["is_active", "id"], ["role", "is_active", "id"]],
    "audit_events": [
        ["at", "id"],
        ["user_id", "at", "id"],
        ["actor_id", "at", "id"],
        ["event", "at", "id"],
    ],
}
# Events were listed by id, not by time.
BEFORE = ("user_id", "actor_id", "event")


def upgrade() -> None:
    for table, indexes in FILTERS.items():
        for columns in indexes:
            op.create_index(f"{table}_{'_'.join(columns)}_idx", table, columns)
    op.drop_index("users_active_admins_idx")
    for name in BEFORE:
        op.drop_index(f"audit_events_{name}_idx")


def downgrade() -> None:
    for name in BEFORE:
        op.create_index(f"audit_events_{name}_idx", "audit_events", [name, "id"])
    op.create_index(
        "users_active_admins_idx",
        "users",
        ["id"],
        postgresql_where=sa.text("role = 'admin' AND is_active"),
    )
    for table, indexes in FILTERS.items():
        for columns in indexes:
            op.drop_index(f"{table}_{'_'.join(columns)}_idx")
