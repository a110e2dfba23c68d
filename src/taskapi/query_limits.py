"""What no query may be, whatever the operation: too long, with a NUL, or not UTF-8."""

from urllib.parse import unquote, unquote_to_bytes

from taskapi.problems import NOT_UTF_8, FieldProblem, HttpProblem, broken_rules

_MAX_QUERY = 4096  # bytes
_MAX_NAME = 256  # bytes of the name of a parameter that a refusal repeats


def query_refusal(query: bytes) -> HttpProblem | None:
    """Why to refuse a query that no operation accepts."""
    # The length first: what follows takes time with it, and the server passes 64 KiB on.
    if len(query) > _MAX_QUERY:
        detail = f"{_MAX_QUERY} bytes are enough for all"
        return _query_problem(query[:_MAX_QUERY], b"", detail, "too_long")
    if b"%00" in query:
        return _query_problem(query, b"%00", "must not hold NUL", "control_character")
    if not _is_utf_8(query):
        return HttpProblem(400, *NOT_UTF_8)
    return None


def _is_utf_8(query: bytes) -> bool:
    """Whether the whole query is percent-encoded UTF-8."""
    if b"%" in query:
        try:
            unquote_to_bytes(query).decode()
        except UnicodeDecodeError:
            return False
    return query.isascii()


def _query_problem(query: bytes, part: bytes, detail: str, code: str) -> HttpProblem:
    """Names the longest of the parameters that contain the part."""
    longest = max((pair for pair in query.split(b"&") if part in pair), key=len)
    name = unquote(longest.partition(b"=")[0][:_MAX_NAME].decode("latin-1"))
    error = FieldProblem(detail, code, parameter=name)
    return broken_rules([error])
