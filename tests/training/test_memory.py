"""Freed memory that stays with the process."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import resource
import torch
from vcbench.training.memory import keep_freed_memory

def page_faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.zeros(4_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before = page_faults()
assert keep_freed_memory()
page_faults()
print(before, page_faults())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc alone can be told")
def test_large_blocks_are_used_again() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    # 16 MB are 3,907 pages of 4 KiB, or 8 of 2 MiB.
    assert before > 0
    assert after <= before / 10
