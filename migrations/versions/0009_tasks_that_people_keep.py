"""Status, priority, dues, labels, the trash, and search; what an account has lies together.

Old servers go on while indexes are built and words are found; a trigger notes which tasks they
change meanwhile. The last step holds off all access for less than two seconds, and shuts old
servers out: they would not count what they write, so the column `version` has another name from
then on, and they say that the database does not fit.

Every step may be repeated, so a migration that was interrupted goes on where it stood. Until its
end the table of tasks is not vacuumed by itself.

The way back is of the same kind, but it counts all tasks while it holds off all access: some
seconds for ten million. What older servers have no place for is gone for good: the tasks in the
trash, and every task's status, priority, due and labels.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.exc import OperationalError

from taskcore.domain.search import found_by

revision = "0009"
down_revision = "0008"
made = "c596b4393e742b24"

BATCH = 2000
ATTEMPTS = 60
NO_DUE = "'9999-12-31 23:59:59.999999+00'"
COLUMNS = {
    "status": "smallint NOT NULL DEFAULT 0",
    "priority": "smallint NOT NULL DEFAULT 0",
    "due_date": "date",
    "due_at": "timestamptz",
    "time_zone": "text",
    "due_sort": f"timestamptz NOT NULL DEFAULT {NO_DUE}",
    "labels": "text[] NOT NULL DEFAULT '{}'",
    "label_keys": "text[]",
    "label_hashes": "bigint[]",
    "completed_at": "timestamptz",
}
CHECKS = {
    "status": "status BETWEEN 0 AND 3",
    "priority": "priority BETWEEN 0 AND 4",
    "due": "due_date IS NULL OR due_at IS NULL",
    "time_zone": "(due_at IS NULL) = (time_zone IS NULL)",
    "completed_at": "(status = 2) = (completed_at IS NOT NULL)",
    "labels": "cardinality(labels) <= 20",
}
FILTERED = (
    *("status", "priority", "due_sort", "due_date", "completed_at", "updated_at"),
    "label_hashes",
)
ORDERS = {
    "created": ("id",),
    "due": ("due_sort", "id"),
    "updated": ("updated_at", "id"),
    "priority": ("priority", "id"),
}
TABLES = f"""
CREATE TABLE IF NOT EXISTS trash (
    id bigint NOT NULL,
    title text NOT NULL,
    description text NOT NULL DEFAULT '',
    owner_id bigint NOT NULL
        CONSTRAINT trash_owner_id_fkey REFERENCES users ON DELETE CASCADE,
    edition bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    {", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())},
    deleted_at timestamptz NOT NULL,
    CONSTRAINT trash_title_check CHECK (char_length(title) BETWEEN 1 AND 255),
    CONSTRAINT trash_description_check CHECK (char_length(description) BETWEEN 0 AND 5000),
    CONSTRAINT trash_edition_check CHECK (edition >= 1),
    {", ".join(f"CONSTRAINT trash_{name}_check CHECK ({rule})" for name, rule in CHECKS.items())},
    CONSTRAINT trash_pkey PRIMARY KEY (id, owner_id)
);
CREATE INDEX IF NOT EXISTS trash_owner_id_deleted_at_id_idx ON trash (owner_id, deleted_at, id);
CREATE INDEX IF NOT EXISTS trash_deleted_at_idx ON trash (deleted_at);
CREATE TABLE IF NOT EXISTS task_words (
    owner_id bigint NOT NULL,
    task_id bigint NOT NULL,
    words tsvector NOT NULL,
    CONSTRAINT task_words_pkey PRIMARY KEY (owner_id, task_id)
);
CREATE TABLE IF NOT EXISTS streams (
    owner_id bigint CONSTRAINT streams_owner_id_fkey REFERENCES users ON DELETE CASCADE,
    live integer NOT NULL DEFAULT 0,
    trashed integer NOT NULL DEFAULT 0,
    removed boolean NOT NULL DEFAULT false,
    CONSTRAINT streams_pkey PRIMARY KEY (owner_id)
) WITH (fillfactor = 50);
CREATE TABLE IF NOT EXISTS totals (
    slot smallint,
    tasks bigint NOT NULL,
    CONSTRAINT totals_pkey PRIMARY KEY (slot)
) WITH (fillfactor = 50);
"""
VACUUMED = "autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.02"
VACUUMED_NAMES = "autovacuum_vacuum_scale_factor, autovacuum_vacuum_insert_scale_factor"

# The tasks that were written while the migration ran: twice what was written twice. The function
# runs with the rights of the role that migrates: servers may have none on the new table.
NOTES = """
CREATE TABLE IF NOT EXISTS task_notes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner_id bigint NOT NULL,
    task_id bigint NOT NULL
);
CREATE OR REPLACE FUNCTION task_note() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO {schema}.task_notes (owner_id, task_id)
    VALUES (coalesce(NEW.owner_id, OLD.owner_id), coalesce(NEW.id, OLD.id));
    RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER task_noted
AFTER INSERT OR DELETE OR UPDATE OF title, description ON tasks
FOR EACH ROW EXECUTE FUNCTION task_note();
"""
NO_NOTES = """
DROP TRIGGER task_noted ON tasks;
DROP FUNCTION task_note();
DROP TABLE task_notes;
"""
NOTED = """
SELECT note.id, note.owner_id, note.task_id, task.title, task.description
FROM (SELECT * FROM task_notes ORDER BY id LIMIT :batch) note
LEFT JOIN tasks task ON task.id = note.task_id
"""
FORGET_WORDS = """
DELETE FROM task_words USING unnest(CAST(:owners AS bigint[]), CAST(:tasks AS bigint[])) gone(o, t)
WHERE (owner_id, task_id) = (gone.o, gone.t)
"""
COUNT = """
INSERT INTO streams (owner_id, live)
SELECT users.id, coalesce(sum(count), 0) FROM users JOIN task_counts ON owner_id = users.id {of}
GROUP BY users.id ON CONFLICT (owner_id) DO UPDATE SET live = excluded.live
"""
FILL_TOTALS = """
UPDATE streams SET removed = true FROM users WHERE users.id = owner_id AND removed_at IS NOT NULL;
INSERT INTO totals (slot, tasks)
SELECT slot, CASE slot WHEN 0 THEN (SELECT coalesce(sum(live), 0) FROM streams WHERE NOT removed)
    ELSE 0 END
FROM generate_series(0, 31) slot;
"""
NO_TRIGGERS = """
DROP TRIGGER task_counts_added ON tasks;
DROP TRIGGER task_counts_removed ON tasks;
DROP TRIGGER task_counts_moved ON tasks;
DROP TRIGGER task_counts_emptied ON tasks;
DROP TRIGGER task_counts_forgotten ON users;
DROP FUNCTION task_counts_add(), task_counts_subtract(), task_counts_move(),
    task_counts_empty(), task_counts_forget();
DROP TABLE task_counts;
"""
NEW_KEY = """
ALTER TABLE tasks DROP CONSTRAINT tasks_pkey;
ALTER TABLE tasks ADD CONSTRAINT tasks_pkey PRIMARY KEY USING INDEX tasks_key;
ALTER TABLE tasks RENAME COLUMN version TO edition;
ALTER TABLE tasks RENAME CONSTRAINT tasks_version_check TO tasks_edition_check;
DROP INDEX tasks_owner_id_id_idx;
"""


OLD_KEY = """
ALTER TABLE tasks DROP CONSTRAINT tasks_pkey;
ALTER TABLE tasks ADD CONSTRAINT tasks_pkey PRIMARY KEY USING INDEX tasks_id_key;
ALTER TABLE tasks RENAME COLUMN edition TO version;
ALTER TABLE tasks RENAME CONSTRAINT tasks_edition_check TO tasks_version_check;
"""
# PostgreSQL 18 names these, too, and not after the column's new name.
NOT_NULL = """
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_constraint
        WHERE conname = '{old}' AND conrelid = to_regclass('tasks')) THEN
        ALTER TABLE tasks RENAME CONSTRAINT {old} TO {new};
    END IF;
END $$
"""


def upgrade() -> None:
    # A vacuum that has begun by itself gives way to this, and not to a brief wait for a lock.
    op.execute("ALTER TABLE tasks SET (autovacuum_enabled = off)")
    lock("tasks")
    for name, kind in COLUMNS.items():
        op.execute(f"ALTER TABLE tasks ADD COLUMN IF NOT EXISTS {name} {kind}")
    for name, rule in CHECKS.items():
        op.execute(f"ALTER TABLE tasks DROP CONSTRAINT IF EXISTS tasks_{name}_check")
        op.execute(f"ALTER TABLE tasks ADD CONSTRAINT tasks_{name}_check CHECK ({rule}) NOT VALID")
    schema = scalar("SELECT quote_ident(current_schema())")
    op.execute(NOTES.format(schema=schema))
    op.execute(TABLES)
    with op.get_context().autocommit_block():
        # The statements below lock no reader and no writer out, so they may wait for long.
        op.execute("SET lock_timeout = 0")
        for name in CHECKS:
            op.execute(f"ALTER TABLE tasks VALIDATE CONSTRAINT tasks_{name}_check")
        build("tasks_key", "tasks (id, owner_id)", unique=True)
        for name, key in ORDERS.items():
            rest = [column for column in FILTERED if column not in key]
            build(f"tasks_{name}_idx", f"tasks ({', '.join(('owner_id', *key, *rest))})")
        op.execute(COUNT.format(of=""))
        # One that was interrupted has stored words up to here.
        after = scalar("SELECT (owner_id, task_id) FROM task_words ORDER BY 1 DESC LIMIT 1")
        place = (int(after[0]), int(after[1])) if after else (0, 0)
        while found := tasks_after(place):
            store_words({(row[0], row[1]): row[2:] for row in found})
            place = found[-1][:2]
        build("task_words_words_idx", "task_words USING gin (words) WITH (fastupdate = off)")
        while catch_up() == BATCH:
            pass
        op.execute("VACUUM (ANALYZE) tasks")
        op.execute("ANALYZE task_words, streams")
        catch_up()
    lock("tasks, users, task_counts, task_notes", meanwhile=catch_up)
    while catch_up():
        pass
    op.execute(FILL_TOTALS)
    last = scalar("SELECT coalesce(max(id), 0) FROM tasks")
    used = scalar("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM tasks_id_seq")
    op.execute("ALTER TABLE tasks ALTER COLUMN id DROP IDENTITY")
    op.execute(f"CREATE SEQUENCE tasks_id_seq START {max(last, used) + 1}")
    op.execute(NO_NOTES)
    op.execute(NO_TRIGGERS)
    op.execute(NEW_KEY)
    op.execute(NOT_NULL.format(old="tasks_version_not_null", new="tasks_edition_not_null"))
    op.execute("ALTER TABLE tasks RESET (autovacuum_enabled)")
    op.execute(f"ALTER TABLE tasks SET ({VACUUMED})")
    op.execute("RESET lock_timeout")


def downgrade() -> None:
    op.execute("ALTER TABLE tasks SET (autovacuum_enabled = off)")
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        build("tasks_id_key", "tasks (id)", unique=True)
        build("tasks_owner_id_id_idx", "tasks (owner_id, id)")
    lock("tasks, users, streams, trash")
    following = scalar("SELECT nextval('tasks_id_seq')")
    op.execute(OLD_KEY)
    op.execute(NOT_NULL.format(old="tasks_edition_not_null", new="tasks_version_not_null"))
    op.execute("DROP TABLE trash, task_words, streams, totals")
    op.execute("DROP SEQUENCE tasks_id_seq")
    op.execute(
        "ALTER TABLE tasks ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY"
        f" (SEQUENCE NAME tasks_id_seq START WITH {following})"
    )
    for name in COLUMNS:
        op.execute(f"ALTER TABLE tasks DROP COLUMN {name}")
    op.execute(f"ALTER TABLE tasks RESET (autovacuum_enabled, {VACUUMED_NAMES})")
    counting = context.script.get_revision("0004")
    counting.module.upgrade()
    op.execute("RESET lock_timeout")


def scalar(sql: str, **values: object) -> Any:  # noqa: ANN401 - the type of any column
    return op.get_bind().scalar(sa.text(sql), values)


def build(name: str, on: str, *, unique: bool = False) -> None:
    """An index, while others write. One that was left half-built is built again."""
    valid = scalar(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)", name=name
    )
    if not valid:
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        op.execute(f"CREATE {'UNIQUE ' if unique else ''}INDEX CONCURRENTLY {name} ON {on}")


def lock(tables: str, *, meanwhile: Callable[[], object] = lambda: None) -> None:
    """Begins a transaction that has these tables alone.

    It asks for them again and again: all others queue behind one that waits for long.
    """
    with op.get_context().autocommit_block():
        pass  # commit what was done so far
    for attempt in range(ATTEMPTS):
        op.execute("SAVEPOINT asked")
        op.execute("SET LOCAL lock_timeout = '300ms'")
        try:
            op.execute(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE")
        except OperationalError:
            if attempt == ATTEMPTS - 1:
                raise
            op.execute("ROLLBACK TO SAVEPOINT asked")
            with op.get_context().autocommit_block():
                meanwhile()
            time.sleep(0.5)
        else:
            return


def tasks_after(place: tuple[int, int]) -> Sequence[Any]:
    rows = op.get_bind().execute(
        sa.text(
            "SELECT owner_id, id, title, description FROM tasks"
            " WHERE (owner_id, id) > (:owner_id, :id) ORDER BY owner_id, id LIMIT :batch"
        ),
        {"owner_id": place[0], "id": place[1], "batch": BATCH},
    )
    return rows.fetchall()


def store_words(found: Mapping[tuple[int, int], Sequence[str]]) -> None:
    """Of titles and descriptions, by the owner's id and the task's."""
    values = {
        "owners": [owner_id for owner_id, _ in found],
        "tasks": [task_id for _, task_id in found],
        "words": [vector(owner_id, *texts) for (owner_id, _), texts in found.items()],
    }
    op.get_bind().execute(
        sa.text(
            "INSERT INTO task_words (owner_id, task_id, words)"
            " SELECT o, t, w::tsvector FROM unnest(CAST(:owners AS bigint[]),"
            " CAST(:tasks AS bigint[]), CAST(:words AS text[])) a(o, t, w)"
            " ON CONFLICT (owner_id, task_id) DO UPDATE SET words = excluded.words"
            " WHERE task_words.words <> excluded.words"
        ),
        values,
    )


def catch_up() -> int:
    """Finds the words and counts anew for what was noted, a batch of it. Returns how much it was.

    Each statement may commit by itself: a note goes last, and one that comes meanwhile stays.
    """
    bind = op.get_bind()
    notes = bind.execute(sa.text(NOTED), {"batch": BATCH}).fetchall()
    if notes:
        texts = {(note[1], note[2]): note[3:] for note in notes}
        store_words({key: text for key, text in texts.items() if text[0] is not None})
        gone = [key for key, text in texts.items() if text[0] is None]
        owners, tasks = [key[0] for key in gone], [key[1] for key in gone]
        bind.execute(sa.text(FORGET_WORDS), {"owners": owners, "tasks": tasks})
        of = sorted({owner_id for owner_id, _ in texts})
        bind.execute(sa.text(COUNT.format(of="WHERE users.id = ANY(:of)")), {"of": of})
        bind.execute(
            sa.text("DELETE FROM task_notes WHERE id = ANY(:ids)"),
            {"ids": [note[0] for note in notes]},
        )
    return len(notes)


def vector(owner_id: int, title: str, description: str) -> str:
    weights = dict.fromkeys(found_by(description), ":1") | dict.fromkeys(found_by(title), ":1A")
    return " ".join(f"'{owner_id}:{word}'{weight}" for word, weight in weights.items())
