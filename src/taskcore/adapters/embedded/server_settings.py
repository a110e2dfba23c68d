"""The settings of the embedded PostgreSQL, and who may connect to it."""

# Written at every start, so that a new release also changes old clusters; ALTER SYSTEM overrides
# it. Nothing here may weaken durability. initdb tries out what the machine allows and writes it
# into postgresql.conf: how memory is shared, and how many connections there may be.
FILE = "taskcore.conf"
SETTINGS = """\
listen_addresses = ''
unix_socket_permissions = 0700
cluster_name = 'taskcore'
shared_buffers = 64MB
io_method = sync                        # spares three worker processes,
max_logical_replication_workers = 0     # and this a fourth
fsync = on
full_page_writes = on
synchronous_commit = on
wal_level = replica                     # pg_basebackup needs it
min_wal_size = 64MB
max_wal_size = 256MB
client_connection_check_interval = 1s   # ends the queries of clients that died
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] '
log_checkpoints = off
log_min_duration_statement = 500ms      # slow statements, as they are written:
log_parameter_max_length = 0            # never with what people typed
log_error_verbosity = terse             # the details quote what people typed
lc_messages = 'C'
"""
# Who may connect: the owner of the data folder and root, by the socket.
ACCESS = """\
local all         all peer map=owner
local replication all peer map=owner
"""
