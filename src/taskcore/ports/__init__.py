"""The ports: what the core needs from the outside. Their docstrings are the contract.

They are structural: an adapter need not import them, and does not repeat their docstrings.
"""

from taskcore.ports.audit import AuditRepository as AuditRepository
from taskcore.ports.clock import Clock as Clock
from taskcore.ports.limits import Claim as Claim
from taskcore.ports.limits import Denial as Denial
from taskcore.ports.limits import RateLimiter as RateLimiter
from taskcore.ports.pages import Page as Page
from taskcore.ports.passwords import PasswordHasher as PasswordHasher
from taskcore.ports.pseudonyms import Pseudonyms as Pseudonyms
from taskcore.ports.sessions import SessionRepository as SessionRepository
from taskcore.ports.store import Repositories as Repositories
from taskcore.ports.store import Store as Store
from taskcore.ports.tasks import TaskRepository as TaskRepository
from taskcore.ports.tokens import AccessClaims as AccessClaims
from taskcore.ports.tokens import AccessTokens as AccessTokens
from taskcore.ports.tokens import RefreshTokens as RefreshTokens
from taskcore.ports.users import UserRepository as UserRepository
