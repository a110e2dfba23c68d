"""How many more connections PostgreSQL has for our role."""

import sqlalchemy as sa

from taskcore.adapters.postgres.statements import Statement

# Of all that there may be, of the role's (CONNECTION LIMIT) and of the database's, without those
# kept for administrators. Every role sees how many connections there are, and of which roles.
CONNECTIONS = """
SELECT current_setting('max_connections')::int
        - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true), '0')::int AS most,
    CASE WHEN r.rolconnlimit >= 0 THEN r.rolconnlimit END AS most_of_role,
    CASE WHEN d.datconnlimit >= 0 THEN d.datconnlimit END AS most_of_database,
    count(a.pid) AS taken,
    count(a.pid) FILTER (WHERE a.usesysid = r.oid) AS of_role,
    count(a.pid) FILTER (WHERE a.datid = d.oid) AS of_database
FROM pg_roles r, pg_database d, pg_stat_get_activity(NULL) a
WHERE r.rolname = current_user AND d.datname = current_database()
    AND a.usesysid IS NOT NULL AND a.datid IS NOT NULL -- else it is a process of the server
GROUP BY r.oid, r.rolconnlimit, d.oid, d.datconnlimit
"""
# How many our role can have at most, beside those that other roles hold now, and how many machines
# have connections of servers as our role. The connection that asks does not count.
MOST = f"""
SELECT least(c.most - (c.taken - c.of_role), c.most_of_role, c.most_of_database)::int AS most,
    (SELECT count(DISTINCT coalesce(client_addr::text, '')) FROM pg_stat_activity
      WHERE usename = current_user AND application_name = 'taskcore'
        AND pid <> pg_backend_pid())::int AS machines
FROM ({CONNECTIONS}) c
"""  # noqa: S608 - of constants
ROOM = Statement(
    sa.text(f"""
SELECT least(most - taken, most_of_role - of_role, most_of_database - of_database)::int
FROM ({CONNECTIONS}) c
""")  # noqa: S608 - of constants
)
