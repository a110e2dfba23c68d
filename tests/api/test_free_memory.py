"""Memory that large bodies took goes back to the system."""

import subprocess
import sys

# Texts of many sizes, of which every tenth stays: the heap is full of holes.
PROGRAM = """
from pathlib import Path
from taskapi.free_memory import give_back

def megabytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 // 2**20

texts = ["x" * (1000 + number % 9000) for number in range(40_000)]
full = megabytes()
kept = texts[::100]
del texts
freed = megabytes()
give_back()
print(full, freed, megabytes())
"""


def test_free_memory_goes_back_to_the_system() -> None:
    answer = subprocess.run(  # noqa: S603 - the program above
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60
    )
    full, freed, left = map(int, answer.stdout.split())
    assert left < full - 100, "of 200 MB"
    assert left <= freed
