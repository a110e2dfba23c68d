"""For tests of what is built on `taskcore`, and of adapters: nothing here is for production.

    from taskcore.adapters.memory import memory_core
    from taskcore.testing import CheapHasher, ManualClock

    clock = ManualClock()
    core = memory_core(clock=clock, hasher=CheapHasher())
    ...
    clock.advance(days=8)  # sessions have expired

That much needs nothing installed. `taskcore.testing.contracts` has the suites that an adapter must
pass, as classes for pytest.
"""

from taskcore.testing.clock import START, ManualClock
from taskcore.testing.cores import core_on
from taskcore.testing.hashing import CheapHasher

__all__ = ["START", "CheapHasher", "ManualClock", "core_on"]
