"""Which query parameters a request may have: those that its handler declares, each once.

A parameter declared as a sequence may be repeated. What a value may be is checked in `query`.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from functools import lru_cache
from itertools import islice

from litestar import Litestar
from litestar._kwargs import extractors
from litestar.routes import HTTPRoute

from taskapi.problems import AnyRequest, FieldProblem, broken_rules
from taskcore.domain.task_queries import MAX_VALUES

# A key in the `opt` of a handler that takes any query. The health checks do, because a parameter
# that a load balancer adds must not take this server out of service; so do the assets of the
# documentation pages, which are named by their content and may get a cache buster on their way.
IGNORES_QUERY = "ignores_query"
# A key in the `opt` of a handler that, without parameters but a limit, lists the newest tasks of
# the one who asks: they are read together with the session.
READS_FIRST_PAGE = "reads_first_page"
# A key in the `opt` of every other handler: how often a request may have each parameter.
_DECLARED = "declared"
_UNKNOWN = "is not a parameter of this operation"
_MOST_REPORTED = 10  # bounds the work on a query of thousands of names

# Litestar keeps the last 1024 queries of any client, parsed: at the longest that `edge` lets
# through, 160 KB each. There is no public way to keep fewer.
_KEPT_QUERIES = 32
for _name in ("parse_query_string", "create_query_default_dict"):
    _parse = getattr(extractors, _name).__wrapped__
    setattr(extractors, _name, lru_cache(_KEPT_QUERIES)(_parse))
# Shared with Litestar, so that a query is parsed once.
_parsed: Callable[[bytes], tuple[tuple[str, str], ...]] = vars(extractors)["parse_query_string"]


def declare_parameters(app: Litestar) -> None:
    """Must run before the first request, and after the last route was registered."""
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for handler, model in route.route_handler_map.values():
                handler.opt[_DECLARED] = {
                    parameter.field_alias: MAX_VALUES if parameter.is_sequence else 1
                    for parameter in model.expected_query_params
                }


def check_parameters(request: AnyRequest) -> None:
    """Raises HttpProblem for a parameter that the handler does not declare, or one too often."""
    query = request.scope["query_string"]
    if not query or IGNORES_QUERY in (opt := request.route_handler.opt):
        return
    names, declared = [name for name, _ in _parsed(query)], opt[_DECLARED]
    if len(names) == len(different := set(names)) and different <= declared.keys():
        return  # the usual case, in a quarter of the time
    problems = islice(_problems(Counter(names), declared), _MOST_REPORTED)
    if errors := list(problems):
        raise broken_rules(errors)


def _problems(counts: Mapping[str, int], declared: Mapping[str, int]) -> Iterator[FieldProblem]:
    advises = True  # for the first unknown name only: to find one that is alike takes 0.2 ms
    for name, count in counts.items():
        most = declared.get(name)
        if most is None:
            detail = unknown(name, declared) if advises else _UNKNOWN
            advises = False
            yield FieldProblem(detail, "unknown_parameter", parameter=name)
        elif count > most == 1:
            yield FieldProblem("may be sent only once", "repeated_parameter", parameter=name)
        elif count > most:
            yield FieldProblem(f"may be sent at most {most} times", "too_many", parameter=name)


def unknown(name: str, declared: Mapping[str, int]) -> str:
    if not declared:
        return f"{_UNKNOWN}, which has none"
    if longer := sorted(each for each in declared if each.startswith(f"{name.lower()}_")):
        return f"{_UNKNOWN}; did you mean {' or '.join(longer)}?"  # `due`
    if alike := get_close_matches(name.lower(), declared, n=1):
        return f"{_UNKNOWN}; did you mean {alike[0]}?"
    return f"{_UNKNOWN}; it has {', '.join(sorted(declared))}"
