"""The rights that our role lacks, as the statements that give them, for `taskcli doctor`."""

from collections.abc import Sequence

import sqlalchemy as sa

from taskcore.adapters.postgres.compatibility import VERSION_TABLE
from taskcore.adapters.postgres.connections import Connections
from taskcore.adapters.postgres.schema import RIGHTS, task_ids
from taskcore.adapters.postgres.statements import Statement

_RIGHTS = ", ".join(
    f"('{name}', '{right}', {number})"
    for name, rights in {**RIGHTS, VERSION_TABLE: ("SELECT",)}.items()
    for number, right in enumerate(rights)
)
# The schema is that of the tables, else the first one in the search path: without USAGE on it the
# names of its tables are not found, but the catalogue is readable for every role. Tables with the
# same rights missing share a statement.
_MISSING = Statement(
    sa.text(f"""
WITH place AS (
    SELECT n.oid, n.nspname, v.oid AS version
    FROM unnest(string_to_array(current_setting('search_path'), ',')) WITH ORDINALITY path(name, n)
    JOIN pg_namespace n ON n.nspname =
        replace(trim(both ' "' FROM path.name), '$user', current_user)
    LEFT JOIN pg_class v ON v.relnamespace = n.oid AND v.relname = '{VERSION_TABLE}'
    ORDER BY v.oid IS NULL, path.n LIMIT 1
), lacking AS (
    SELECT quote_ident(c.relname) AS own,
        string_agg(needed.privilege, ', ' ORDER BY needed.number) AS rights
    FROM place JOIN pg_class c ON c.relnamespace = place.oid
    JOIN (VALUES {_RIGHTS}) needed(relname, privilege, number) ON needed.relname = c.relname
    WHERE NOT has_table_privilege(c.oid, needed.privilege) GROUP BY c.oid, c.relname
)
SELECT format('GRANT USAGE ON SCHEMA %I TO %I', nspname, current_user)
FROM place WHERE NOT has_schema_privilege(oid, 'USAGE')
UNION ALL
SELECT format('GRANT CREATE ON SCHEMA %I TO %I', nspname, current_user)
FROM place WHERE version IS NULL AND NOT has_schema_privilege(oid, 'CREATE')
UNION ALL
SELECT format('GRANT %s ON %s TO %I', rights,
    string_agg(format('%I.%s', nspname, own), ', ' ORDER BY own), current_user)
FROM lacking, place GROUP BY rights
UNION ALL
SELECT format('GRANT USAGE ON SEQUENCE %I.%I TO %I', nspname, c.relname, current_user)
FROM place JOIN pg_class c ON c.relnamespace = place.oid AND c.relname = '{task_ids.name}'
WHERE NOT has_sequence_privilege(c.oid, 'USAGE')
""")  # noqa: S608 - of constants
)


async def grants_missing(connections: Connections) -> Sequence[str]:
    """None if the role may do what servers do, and, where there are no tables yet, make them.

    One round trip. Raises Unavailable.
    """
    async with connections.borrow() as link:
        return [grant for (grant,) in await link.rows(_MISSING)]
