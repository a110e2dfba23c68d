"""`taskcli completion`: a script that teaches a shell our commands."""

from typing import Annotated, Literal

from cyclopts import Parameter

from taskcli.output import write


def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(help="Which.")], /
) -> None:
    """Print a completion script.

    For bash: taskcli completion bash > ~/.local/share/bash-completion/completions/taskcli
    """
    # Imported late: the commands are registered there, this one among them.
    from taskcli.main import commands  # noqa: PLC0415

    write(commands().generate_completion(prog_name="taskcli", shell=shell))
