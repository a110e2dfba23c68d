"""A PostgreSQL in a folder, so that nothing has to be set up.

    start_or_join.py   one user of the server: starts or joins it, watches, leaves
    cluster_folder.py  the folder: created, configured, started
    programs.py        PostgreSQL's programs, and the account they run under
    supervisor.py      the process that runs the server until its last user leaves

Locks tell which processes are alive, never pids in files: the kernel releases the locks of a dead
process, but may give its pid to another one.
"""

from taskcore.adapters.embedded.start_or_join import EmbeddedPostgres as EmbeddedPostgres
