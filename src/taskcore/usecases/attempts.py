"""How often a login may be tried, and from where in spite of that."""

from dataclasses import dataclass

from taskcore.domain.limits import (
    LOGIN,
    LOGIN_ACCOUNT,
    LOGIN_EVERYBODY,
    LOGIN_FAILURES,
    LOGIN_IN_A_ROW,
    LOGIN_NETWORK,
)
from taskcore.domain.origins import Origin
from taskcore.domain.users import UserId
from taskcore.ports import Claim, Clock, Store
from taskcore.usecases.gate import Gate, per_network


@dataclass(frozen=True, slots=True)
class LoginAttempts:
    store: Store
    gate: Gate
    clock: Clock

    async def admit(self, account: str, key: str | None, origin: Origin) -> list[Claim]:
        """The attempt is counted: on the account's pseudonym, and on where it comes from.

        What strangers have used up, of the account's limits or of everybody's, keeps nobody out
        from where they are logged in already: from there only limits of that place's own count.
        Raises TooMany.
        """
        here = f"{account} {origin.network}"
        pair = Claim(LOGIN, here)
        of_account = _of_account(account)
        of_place = per_network(origin, LOGIN_FAILURES, LOGIN_NETWORK)
        everybodys = Claim(LOGIN_EVERYBODY, "")
        claims = [pair, *of_account, *of_place, everybodys]
        denial = await self.gate.limiter.acquire(*claims)
        used_up_by_strangers = denial and denial.claim in {*of_account, everybodys}
        if used_up_by_strangers and await self._is_familiar(key, origin):
            claims = [pair, Claim(LOGIN_IN_A_ROW, here), *of_place]
            denial = await self.gate.limiter.acquire(*claims)
        if denial:
            await self.gate.turn_away(origin, denial, account=account)
        return claims

    async def forget(self, account: str) -> None:
        """The failures of strangers."""
        await self.gate.succeeded(*_of_account(account))

    async def _is_familiar(self, key: str | None, origin: Origin) -> bool:
        """Whether somebody is logged in to the account from there."""
        async with self.store.autocommit() as db:
            user = await db.users.find_by_email(key or "")
            # Asked for nobody's sessions too, so that it takes the same time.
            user_id = UserId(0) if user is None else user.id
            sessions = await db.sessions.of_user(user_id, self.clock.now())
        return any(Origin(session.ip).network == origin.network for session in sessions)


def _of_account(account: str) -> list[Claim]:
    return [Claim(LOGIN_ACCOUNT, account), Claim(LOGIN_IN_A_ROW, account)]
