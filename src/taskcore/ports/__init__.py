"""The ports: what the core needs from the outside. Their docstrings are the contract.

They are Protocols: an adapter need not import them, and does not repeat their docstrings.
"""

from taskcore.ports.adapters import Adapters as Adapters
from taskcore.ports.audit import AuditRepository as AuditRepository
from taskcore.ports.budgets import BUDGET as BUDGET
from taskcore.ports.budgets import TimeBudget as TimeBudget
from taskcore.ports.budgets import time_budget as time_budget
from taskcore.ports.bulk import BulkRepository as BulkRepository
from taskcore.ports.events import ChangedTask as ChangedTask
from taskcore.ports.events import ChangesPage as ChangesPage
from taskcore.ports.events import EventRepository as EventRepository
from taskcore.ports.events import LogPosition as LogPosition
from taskcore.ports.idempotency import IdempotencyRepository as IdempotencyRepository
from taskcore.ports.idempotency import KeyClaim as KeyClaim
from taskcore.ports.leftovers import TASKS_AT_ONCE as TASKS_AT_ONCE
from taskcore.ports.leftovers import Batch as Batch
from taskcore.ports.leftovers import LeftoverRepository as LeftoverRepository
from taskcore.ports.leftovers import Leftovers as Leftovers
from taskcore.ports.leftovers import Removal as Removal
from taskcore.ports.loops import HomeLoop as HomeLoop
from taskcore.ports.measures import Estimated as Estimated
from taskcore.ports.measures import Measured as Measured
from taskcore.ports.measures import Measures as Measures
from taskcore.ports.pages import Page as Page
from taskcore.ports.read_ahead import READ_AHEAD as READ_AHEAD
from taskcore.ports.read_ahead import ReadAhead as ReadAhead
from taskcore.ports.services import AccessClaims as AccessClaims
from taskcore.ports.services import AccessTokens as AccessTokens
from taskcore.ports.services import Claim as Claim
from taskcore.ports.services import Clock as Clock
from taskcore.ports.services import Denial as Denial
from taskcore.ports.services import PasswordHasher as PasswordHasher
from taskcore.ports.services import Pseudonyms as Pseudonyms
from taskcore.ports.services import RateLimiter as RateLimiter
from taskcore.ports.services import RefreshTokens as RefreshTokens
from taskcore.ports.sessions import SessionRepository as SessionRepository
from taskcore.ports.store import Prepare as Prepare
from taskcore.ports.store import Repositories as Repositories
from taskcore.ports.store import Store as Store
from taskcore.ports.tasks import LabelCount as LabelCount
from taskcore.ports.tasks import TaskRepository as TaskRepository
from taskcore.ports.tasks import TrashPosition as TrashPosition
from taskcore.ports.tasks import TrashRepository as TrashRepository
from taskcore.ports.tracing import Span as Span
from taskcore.ports.tracing import Tracer as Tracer
from taskcore.ports.users import UserRepository as UserRepository
