"""The tokens that a login or a refresh returns.

How long an access token lasts: `settings.py`; a session: `domain/sessions.py`.
"""

from dataclasses import dataclass, field

from taskcore.domain.sessions import RefreshToken, Session
from taskcore.domain.users import User
from taskcore.ports import AccessClaims, AccessTokens, Clock, RefreshTokens


@dataclass(frozen=True, slots=True)
class Grant:
    """The result of a login or a refresh. `expires_in` is the access token's, in seconds.

    The only result of a use case that holds secrets: the tokens, for the client that asked. `repr`
    leaves them out; `asdict`, JSON and pickle include them, so that they reach the client.
    """

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: int
    user: User


@dataclass(frozen=True, slots=True)
class Issuer:
    access_tokens: AccessTokens
    refresh_tokens: RefreshTokens
    clock: Clock

    def grant(self, session: Session, refresh_token: str, user: User) -> Grant:
        claims = AccessClaims(user.id, session.id)
        return Grant(
            access_token=self.access_tokens.issue(claims, self.clock.now()),
            refresh_token=refresh_token,
            expires_in=int(self.access_tokens.lifetime),
            user=user,
        )

    def stored(self, session: Session, refresh_token: str) -> RefreshToken:
        """The form of a refresh token that the store keeps."""
        digest = self.refresh_tokens.digest(refresh_token)
        return RefreshToken.new(session, digest, self.refresh_tokens.nonce())
