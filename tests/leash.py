"""Processes that must end with the tests that started them, however the tests end."""

import subprocess


class Leash:
    """Kills a process group when this process ends, even by SIGKILL, unless released before.

    A shell waits for the end of a pipe, which the kernel closes with this process. Unlike
    PR_SET_PDEATHSIG this does not depend on the thread that started the group.
    """

    def __init__(self, group: int) -> None:
        self._shell = subprocess.Popen(  # noqa: S603 - fixed words
            ["/bin/sh", "-c", 'read -r _; kill -KILL "-$1"', "sh", str(group)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def release(self) -> None:
        self._shell.kill()
        self._shell.communicate()
