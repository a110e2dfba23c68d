"""Rate limits on logins, and who is exempt from some of them."""

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
        """Count the attempt on the account's pseudonym and on the network. Raises TooMany.

        A network where the account has a session is familiar. An attempt from there may exceed the
        limits that other networks use up, the account's and the global one, but not its own.
        """
        here = f"{account} {origin.network}"
        pair = Claim(LOGIN, here)
        of_account = _of_account(account)
        of_network = per_network(origin, LOGIN_FAILURES, LOGIN_NETWORK)
        overall = Claim(LOGIN_EVERYBODY, "")
        claims = [pair, *of_account, *of_network, overall]
        denial = await self.gate.limiter.acquire(*claims)
        shared = denial and denial.claim in {*of_account, overall}
        if shared and await self._is_familiar(key, origin):
            claims = [pair, Claim(LOGIN_IN_A_ROW, here), *of_network]
            denial = await self.gate.limiter.acquire(*claims)
        if denial:
            await self.gate.turn_away(origin, denial, account=account)
        return claims

    async def reset(self, account: str) -> None:
        await self.gate.succeeded(*_of_account(account))

    async def _is_familiar(self, key: str | None, origin: Origin) -> bool:
        async with self.store.autocommit() as db:
            user = await db.users.find_by_email(key or "")
            # An unknown account costs the same query, so that timing does not reveal it.
            user_id = UserId(0) if user is None else user.id
            sessions = await db.sessions.of_user(user_id, self.clock.now())
        return any(Origin(session.ip).network == origin.network for session in sessions)


def _of_account(account: str) -> list[Claim]:
    return [Claim(LOGIN_ACCOUNT, account), Claim(LOGIN_IN_A_ROW, account)]
