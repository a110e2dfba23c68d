"""Idempotency keys: what a key is, and how much of what they answer is kept."""

import re
from datetime import datetime, timedelta

from taskcore.domain.errors import Invalid, KeyReused, Problem, TooMany

FIELD = "idempotency_key"
REUSED = "belongs to another request"
MAX_KEY = 255
LIFETIME = timedelta(hours=24)
# The largest answer, in bytes: enough for a hundred tasks with texts of ten thousand each.
MAX_ANSWER = 1024 * 1024
# How much the answers of an account may take that were kept within LIFETIME: what one account
# stores is bounded by twice this. 64 MiB are 95 000 tasks of 450 bytes, created one by one.
MAX_KEPT = 64 * 1024 * 1024
# What a kept answer counts for beyond its own size: the row and its place in two indexes.
ROW = 256

_KEY = re.compile(f"[\\x21-\\x7e]{{1,{MAX_KEY}}}")


def check_key(key: str) -> None:
    """Raises Invalid."""
    if not _KEY.fullmatch(key):
        raise Invalid(
            Problem(FIELD, f"must be 1 to {MAX_KEY} visible ASCII characters", "malformed_key")
        )


def check_answer(answer: bytes) -> None:
    """Raises Invalid for an answer that is too large to be kept."""
    if len(answer) > MAX_ANSWER:
        detail = f"works for answers of at most {MAX_ANSWER} bytes; ask for less at once"
        raise Invalid(Problem(FIELD, detail, "answer_too_large"))


def check_same(kept: bytes, claimed: bytes) -> None:
    """Whether a key comes with the request that it came with before. Raises KeyReused."""
    if kept != claimed:
        raise KeyReused(Problem(FIELD, REUSED, KeyReused.code))


def keeps_too_much(since: datetime, now: datetime) -> TooMany:
    """The refusal for an account that has kept too much since that moment."""
    detail = "No more answers are kept for this account today; wait, or send no idempotency key"
    return TooMany(detail, retry_after=(since + LIFETIME - now).total_seconds())
