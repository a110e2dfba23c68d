"""`taskcli completion`: completion scripts for shells."""

from typing import Annotated, Literal

from cyclopts import Parameter

from taskcli.standard_streams import write


def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(help="The shell.")], /
) -> None:
    """Print a completion script.

    For bash: taskcli completion bash > ~/.local/share/bash-completion/completions/taskcli
    """
    # Imported here, because that module registers this command.
    from taskcli.main import commands  # noqa: PLC0415

    write(commands().generate_completion(prog_name="taskcli", shell=shell))
