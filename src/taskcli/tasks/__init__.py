"""`taskcli tasks`: the tasks of all users, or of one."""

from taskcli.nouns import noun

app = noun(
    "tasks",
    "Manage the tasks of all users as the operator, or act as one user with --as.\n\n"
    "With --as a command may do what that user may, no more. A deactivated user may do nothing. "
    "TASKCLI_AS=ada@example.org does the same for every command; an empty TASKCLI_AS means the "
    "operator.\n\n"
    "Days and times are those of that user's time zone; for the operator those of the owner's, and "
    "of UTC in a list of the tasks of all users.",
)
