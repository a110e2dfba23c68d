"""The contract of `ports.Audit`, on every store."""

from dataclasses import replace
from datetime import timedelta
from itertools import product
from uuid import uuid4

import pytest

from taskcore.domain.audit import AuditEvent, AuditEventName, NewAuditEvent
from taskcore.domain.origins import Origin
from taskcore.domain.policies import SYSTEM, Actor
from taskcore.domain.sessions import SessionId
from taskcore.domain.users import Role, UserId
from taskcore.ports import Store
from taskcore.testing.contracts.contract import Contract
from taskcore.testing.contracts.stored import LATER, NOW, add_user

ADA, BOB = UserId(7), UserId(8)  # no such users: events outlive the users they concern


ORIGIN = Origin("192.0.2.1", "curl/8", "request-1")


SESSION = SessionId(uuid4())


ACTOR = Actor(ADA, Role.ADMIN, SESSION, ORIGIN)


async def added(store: Store, *events: NewAuditEvent) -> list[AuditEvent]:
    """The stored events, oldest first."""
    async with store.autocommit() as db:
        await db.audit.add(*events)
        page = await db.audit.page(skip=0, limit=len(events))
    return sorted(page.items, key=lambda event: event.id)


def _without_skipped(events: list[AuditEvent], skip: int, limit: int) -> list[AuditEvent]:
    return [each for n, each in enumerate(events) if n % (skip + limit) >= skip]


class AuditContract(Contract):
    async def test_an_event_is_stored_with_every_field(self, store: Store) -> None:
        told = [
            NewAuditEvent.by(
                ACTOR, AuditEventName.ROLE_CHANGED, NOW, user_id=BOB, old="user", new="admin"
            ),
            NewAuditEvent.by(SYSTEM, AuditEventName.USER_DELETED, LATER, user_id=BOB),
            NewAuditEvent.by(ORIGIN, AuditEventName.LOGIN_FAILED, NOW, account="x" * 64),
            NewAuditEvent.by(
                Origin(), AuditEventName.REFRESH_FAILED, NOW, sessions=3, note="é\u202e"
            ),
        ]
        stored = await added(store, *told)
        for event, kept in zip(told, stored, strict=True):
            assert kept == AuditEvent(
                **{name: getattr(event, name) for name in NewAuditEvent.__dataclass_fields__},
                id=kept.id,
            )
        assert [event.id for event in stored] == sorted(event.id for event in stored)

    async def test_a_page_is_newest_first_and_filtered_by_all_that_is_named(
        self, store: Store
    ) -> None:
        hours = [NOW + timedelta(hours=n) for n in range(6)]
        stored = await added(
            store,
            NewAuditEvent.by(ACTOR, AuditEventName.LOGOUT, hours[0]),
            NewAuditEvent.by(ACTOR, AuditEventName.USER_DEACTIVATED, hours[1], user_id=BOB),
            NewAuditEvent.by(ORIGIN, AuditEventName.LOGIN_FAILED, hours[2], user_id=BOB),
            NewAuditEvent.by(ORIGIN, AuditEventName.LOGIN_FAILED, hours[3]),
            NewAuditEvent.by(SYSTEM, AuditEventName.USER_REACTIVATED, hours[4], user_id=BOB),
            NewAuditEvent.by(SYSTEM, AuditEventName.KEY_ROTATED, hours[5]),
        )

        async def page(
            skip: int = 0, limit: int = 10, **filters: object
        ) -> tuple[list[int], int | None]:
            async with store.autocommit() as db:
                found = await db.audit.page(skip=skip, limit=limit, **filters)  # type: ignore[arg-type]  # a table below
            return [stored.index(event) for event in found.items], found.total

        assert await page() == ([5, 4, 3, 2, 1, 0], 6)
        assert await page(1, 2) == ([4, 3], 6)
        assert await page(9, 2) == ([], 6)
        assert await page(user_id=ADA) == ([1, 0], 2)  # what she did, and what concerns her
        assert await page(user_id=BOB) == ([4, 2, 1], 3)
        assert await page(user_id=UserId(99)) == ([], 0)
        assert await page(event=AuditEventName.LOGIN_FAILED) == ([3, 2], 2)
        assert await page(since=hours[3]) == ([5, 4, 3], 3)
        assert await page(since=hours[5] + timedelta(microseconds=1)) == ([], 0)
        failed = AuditEventName.LOGIN_FAILED
        assert await page(user_id=BOB, event=failed) == ([2], 1)
        assert await page(user_id=BOB, event=failed, since=hours[3]) == ([], 0)

    async def test_a_list_goes_on_from_its_last_event(self, store: Store) -> None:
        """Whatever the filter, and although times repeat and ids are not in their order."""
        failed, denied = AuditEventName.LOGIN_FAILED, AuditEventName.AUTHZ_DENIED
        events = [
            NewAuditEvent.by(
                (ACTOR, ORIGIN, SYSTEM)[number % 3],
                (failed, denied)[number % 2],
                NOW + timedelta(minutes=number * 7 % 10 // 2),
                user_id=(None, ADA, BOB)[number // 2 % 3],
            )
            for number in range(24)
        ]
        stored = sorted(await added(store, *events), key=lambda each: each.position, reverse=True)
        late = NOW + timedelta(minutes=2)
        for user_id, event, since in product((None, ADA, BOB), (None, failed), (None, late)):
            wanted = [
                each
                for each in stored
                if user_id in {None, each.user_id, each.actor_id}
                and event in {None, each.event}
                and (since is None or each.at >= since)
            ]
            assert len(wanted) > 1
            for skip, limit in ((0, 1), (0, 5), (1, 2), (0, 24)):
                read: list[AuditEvent] = []
                after = None
                while True:
                    async with store.autocommit() as db:
                        page = await db.audit.page(
                            skip=skip,
                            limit=limit,
                            user_id=user_id,
                            event=event,
                            since=since,
                            after=after,
                        )
                    assert page.total == (None if after else len(wanted))
                    read += page.items
                    if not page.has_more:
                        break
                    after = page.items[-1].position
                skipped = wanted if skip == 0 else _without_skipped(wanted, skip, limit)
                assert read == skipped

    async def test_an_event_is_undone_with_its_transaction(self, store: Store) -> None:
        class Undone(Exception):
            pass

        event = NewAuditEvent.by(ACTOR, AuditEventName.USER_DELETED, NOW, user_id=BOB)

        async def add_and_undo() -> None:
            async with store.transaction() as tx:
                await tx.audit.add(event)
                raise Undone

        with pytest.raises(Undone):
            await add_and_undo()
        async with store.transaction() as tx:
            assert (await tx.audit.page(skip=0, limit=9)).total == 0
            await tx.audit.add(event, replace(event, user_id=ADA))
            await tx.audit.add()
        async with store.autocommit() as db:
            assert (await db.audit.page(skip=0, limit=9)).total == 2

    async def test_events_stay_when_users_go(self, store: Store) -> None:
        ada = await add_user(store)
        async with store.autocommit() as db:
            await db.audit.add(
                NewAuditEvent.by(SYSTEM, AuditEventName.USER_CREATED, NOW, user_id=ada.id)
            )
            await db.users.remove(ada.id)
            assert (await db.audit.page(skip=0, limit=9, user_id=ada.id)).total == 1
