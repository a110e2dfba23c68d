"""Users and tasks."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
made = "e249582f95772bba"


def moment(name: str) -> sa.Column[object]:
    return sa.Column(
        name,
        sa.DateTime(timezone=True),
        nullable=False,
        server_default=sa.text("CURRENT_TIMESTAMP"),
    )


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("email", sa.Text, nullable=False),
        sa.Column("email_key", sa.Text, nullable=False),
        sa.Column("hashed_password", sa.Text, nullable=False),
        sa.Column("full_name", sa.Text),
        sa.Column("role", sa.Text, nullable=False, server_default="user"),
        sa.Column("is_active", sa.Boolean, nullable=False, server_default=sa.text("true")),
        moment("created_at"),
        moment("updated_at"),
        sa.PrimaryKeyConstraint("id", name="users_pkey"),
        sa.UniqueConstraint("email_key", name="users_email_key_key"),
        sa.CheckConstraint("char_length(email) BETWEEN 3 AND 254", name=op.f("users_email_check")),
        sa.CheckConstraint(
            "char_length(email_key) BETWEEN 3 AND 254", name=op.f("users_email_key_check")
        ),
        sa.CheckConstraint(
            "char_length(full_name) BETWEEN 0 AND 255", name=op.f("users_full_name_check")
        ),
        sa.CheckConstraint(
            "char_length(hashed_password) BETWEEN 1 AND 255",
            name=op.f("users_hashed_password_check"),
        ),
        sa.CheckConstraint("role IN ('user', 'admin')", name=op.f("users_role_check")),
    )
    op.create_index(
        "users_active_admins_idx",
        "users",
        ["id"],
        postgresql_where=sa.text("role = 'admin' AND is_active"),
    )
    op.create_table(
        "tasks",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False, server_default=""),
        sa.Column("owner_id", sa.BigInteger, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False, server_default=sa.text("1")),
        moment("created_at"),
        moment("updated_at"),
        sa.PrimaryKeyConstraint("id", name="tasks_pkey"),
        sa.ForeignKeyConstraint(
            ["owner_id"], ["users.id"], name="tasks_owner_id_fkey", ondelete="CASCADE"
        ),
        sa.CheckConstraint("char_length(title) BETWEEN 1 AND 255", name=op.f("tasks_title_check")),
        sa.CheckConstraint(
            "char_length(description) BETWEEN 0 AND 5000", name=op.f("tasks_description_check")
        ),
        sa.CheckConstraint("version >= 1", name=op.f("tasks_version_check")),
    )
    op.create_index("tasks_owner_id_id_idx", "tasks", ["owner_id", "id"])


def downgrade() -> None:
    op.drop_table("tasks")
    op.drop_table("users")
