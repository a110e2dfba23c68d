"""Idempotency keys in memory."""

from dataclasses import dataclass
from datetime import datetime

from taskcore.adapters.memory.tables import Access, KeptAnswer, Usage, existing
from taskcore.domain.idempotency import LIFETIME, ROW, check_same, keeps_too_much
from taskcore.ports import KeyClaim, Removal


@dataclass(slots=True)
class MemoryIdempotency:
    """Keeps answers; one transaction runs at a time, so no key is ever in progress elsewhere."""

    _access: Access

    async def claim(self, claim: KeyClaim) -> bytes | None:
        async with self._access() as tables:
            existing(tables.users.get(claim.user_id))
            kept = tables.answers.get((claim.user_id, claim.key))
            if kept is None or kept.at <= claim.at - LIFETIME:
                return None
            check_same(kept.request, claim.request)
            return kept.answer

    async def keep(self, claim: KeyClaim, answer: bytes, *, at_most: int) -> None:
        async with self._access() as tables:
            if claim.user_id not in tables.users:
                return
            usage = tables.usage.get(claim.user_id)
            if usage is None or usage.since <= claim.at - LIFETIME:
                usage = Usage(claim.at, 0)
            usage = Usage(usage.since, usage.size + ROW + len(answer))
            if usage.size > at_most:
                raise keeps_too_much(usage.since, claim.at)
            tables.usage[claim.user_id] = usage
            kept = KeptAnswer(claim.request, answer, claim.at)
            tables.answers[claim.user_id, claim.key] = kept

    async def forget(self, before: datetime, limit: int) -> Removal:
        async with self._access() as tables:
            old = sorted((kept.at, key) for key, kept in tables.answers.items() if kept.at < before)
            for _, key in old[:limit]:
                del tables.answers[key]
            tables.usage = {
                user: usage for user, usage in tables.usage.items() if usage.since >= before
            }
            return Removal(len(old[:limit]), more=len(old) > limit)
