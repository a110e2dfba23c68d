"""The rate of argon2id alone on these cores: the upper bound of logins."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher, Type

from taskcore.adapters.argon2 import LANES, MEMORY_KIB, PASSES

_argon2 = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES, type=Type.ID)


def argon2_alone(*, seconds: float) -> float:
    """Verifications per second, with one thread per core."""
    known = _argon2.hash("correct horse battery")
    until = time.monotonic() + seconds

    def verify(_: int) -> tuple[int, float]:
        done, begun = 0, time.monotonic()
        while time.monotonic() < until:
            _argon2.verify(known, "correct horse battery")
            done += 1
        return done, time.monotonic() - begun

    threads = os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        return round(sum(done / took for done, took in pool.map(verify, range(threads))), 1)
