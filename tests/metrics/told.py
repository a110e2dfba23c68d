"""Reading what is told to Prometheus."""


def told(text: bytes) -> dict[str, float]:
    """The value of each series, by its name and labels as they are written."""
    lines = (line for line in text.decode().splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}
