"""`taskcli tasks`: the tasks of all users, or of one."""

from cyclopts import App

from taskcli.tasks.content import create, done, edit, reopen, show_
from taskcli.tasks.history import history, revert
from taskcli.tasks.lists import labels, list_
from taskcli.tasks.trash import delete, list_trash, purge, restore

app = App(
    name="tasks",
    version_flags=(),
    help="Manage the tasks of all users as the operator, or act as one user with --as.\n\n"
    "With --as a command may do what that user may, no more. A deactivated user may do nothing. "
    "TASKCLI_AS=ada@example.org is as --as for every command, and TASKCLI_AS= the operator.\n\n"
    "Days and times are those of that user's time zone, or else of the owner's. Only a list of "
    "several owners is in UTC.",
)

app.command(list_, name="list")
app.command(show_, name="show")
app.command(create)
app.command(edit)
app.command(done)
app.command(reopen)
app.command(delete)
app.command(list_trash, name="trash")
app.command(restore)
app.command(purge)
app.command(labels)
app.command(history)
app.command(revert)
