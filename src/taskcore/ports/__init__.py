"""The ports: what the core needs from the outside. Their docstrings are the contract.

They are structural: an adapter need not import them, and does not repeat their docstrings.
"""

from taskcore.ports.audit import AuditRepository
from taskcore.ports.clock import Clock
from taskcore.ports.limits import Claim, Denial, RateLimiter
from taskcore.ports.pages import Page
from taskcore.ports.passwords import PasswordHasher
from taskcore.ports.pseudonyms import Pseudonyms
from taskcore.ports.sessions import SessionRepository
from taskcore.ports.store import Repositories, Store
from taskcore.ports.tasks import TaskRepository
from taskcore.ports.tokens import AccessClaims, AccessTokens, RefreshTokens
from taskcore.ports.users import UserRepository

__all__ = [
    "AccessClaims",
    "AccessTokens",
    "AuditRepository",
    "Claim",
    "Clock",
    "Denial",
    "Page",
    "PasswordHasher",
    "Pseudonyms",
    "RateLimiter",
    "RefreshTokens",
    "Repositories",
    "SessionRepository",
    "Store",
    "TaskRepository",
    "UserRepository",
]
