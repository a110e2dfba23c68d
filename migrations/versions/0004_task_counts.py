"""The numbers of tasks, per owner and in total, so that no page has to count them."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
made = "7d8f5f552a6e4823"

# Owner 0 has the total. Each connection adds to the rows of its own slot, so that writes for one
# owner seldom wait for each other; rows are locked in order, so that they never deadlock. The
# functions run with the rights of the role that migrates: servers of the previous release write
# tasks, and have no rights on the new table.
FUNCTION = """
CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    {body}
    RETURN NULL;
END
$$
"""
ADD = """
    INSERT INTO {schema}.task_counts AS kept (owner_id, slot, count)
    SELECT coalesce(owner_id, 0), pg_backend_pid() % 32, {sign}count(*)
    FROM changed GROUP BY GROUPING SETS ((owner_id), ())
    HAVING count(*) > 0 {and_so_on} ORDER BY 1
    ON CONFLICT (owner_id, slot) DO UPDATE SET count = kept.count + excluded.count;
"""
# Not for a task that is deleted with its owner: the owner's counts are deleted already.
HAS_OWNER = (
    "AND (owner_id IS NULL OR EXISTS (SELECT FROM {schema}.users WHERE id = changed.owner_id))"
)
MOVE = """
    INSERT INTO {schema}.task_counts AS kept (owner_id, slot, count)
    VALUES (OLD.owner_id, 0, -1), (NEW.owner_id, 0, 1)
    ON CONFLICT (owner_id, slot) DO UPDATE SET count = kept.count + excluded.count;
"""
EMPTY = "DELETE FROM {schema}.task_counts;"
FORGET = "DELETE FROM {schema}.task_counts WHERE owner_id IN (SELECT id FROM gone);"
TRIGGERS = """
CREATE TRIGGER task_counts_added AFTER INSERT ON tasks
REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION task_counts_add();
CREATE TRIGGER task_counts_removed AFTER DELETE ON tasks
REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION task_counts_subtract();
CREATE TRIGGER task_counts_moved AFTER UPDATE OF owner_id ON tasks
FOR EACH ROW WHEN (OLD.owner_id <> NEW.owner_id) EXECUTE FUNCTION task_counts_move();
CREATE TRIGGER task_counts_emptied AFTER TRUNCATE ON tasks
FOR EACH STATEMENT EXECUTE FUNCTION task_counts_empty();
CREATE TRIGGER task_counts_forgotten AFTER DELETE ON users
REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION task_counts_forget();
"""
FILL = """
INSERT INTO task_counts (owner_id, slot, count)
SELECT coalesce(owner_id, 0), 0, count(*) FROM tasks
GROUP BY GROUPING SETS ((owner_id), ()) HAVING count(*) > 0
"""


def upgrade() -> None:
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    op.create_table(
        "task_counts",
        sa.Column("owner_id", sa.BigInteger, nullable=False),
        sa.Column("slot", sa.SmallInteger, nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("owner_id", "slot", name="task_counts_pkey"),
        # Rows change with every task: free space keeps a row's next version on the same page.
        postgresql_with={"fillfactor": "50"},
    )
    for name, body in {
        "task_counts_add": ADD.replace("{sign}", "").replace(" {and_so_on}", ""),
        "task_counts_subtract": ADD.replace("{sign}", "-").replace("{and_so_on}", HAS_OWNER),
        "task_counts_move": MOVE,
        "task_counts_empty": EMPTY,
        "task_counts_forget": FORGET,
    }.items():
        op.execute(FUNCTION.format(name=name, body=body.strip().format(schema=schema)))
    # No task is written between counting them and creating the triggers.
    op.execute("LOCK TABLE tasks IN SHARE ROW EXCLUSIVE MODE")
    op.execute(FILL)
    op.execute(TRIGGERS)


def downgrade() -> None:
    for name in ("added", "removed", "moved", "emptied"):
        op.execute(f"DROP TRIGGER task_counts_{name} ON tasks")
    op.execute("DROP TRIGGER task_counts_forgotten ON users")
    for name in ("add", "subtract", "move", "empty", "forget"):
        op.execute(f"DROP FUNCTION task_counts_{name}()")
    op.drop_table("task_counts")
