"""Names of settings in an environment that a host program has variables in too."""

from collections.abc import Mapping

PREFIX = "TASKCORE_"
_FILE = "_FILE"


def own_variables(env: Mapping[str, str], prefix: str | None = None) -> dict[str, str]:
    """The settings in the environment, by their names without the prefix.

    With `prefix`, only names that begin with it count. Without one, PREFIX wins over the bare name:
    with TASKCORE_SECRET_KEY set, or TASKCORE_SECRET_KEY_FILE, neither SECRET_KEY nor
    SECRET_KEY_FILE is ours. An empty variable counts as not set.
    """
    begin = PREFIX if prefix is None else prefix
    given = {
        name.removeprefix(begin): value
        for name, value in env.items()
        if name.startswith(begin) and value.strip()
    }
    if prefix is not None:
        return given
    nouns = {name.removesuffix(_FILE) for name in given}
    return {name: env[name] for name in env if name.removesuffix(_FILE) not in nouns} | given


def spelled(name: str, env: Mapping[str, str], prefix: str | None = None) -> str:
    """The setting's name as the environment has it."""
    if prefix is not None:
        return f"{prefix}{name}"
    own = f"{PREFIX}{name}"
    return own if env.get(own, "").strip() or env.get(f"{own}{_FILE}", "").strip() else name
