"""What the process has taken goes back to the system."""

import platform
import subprocess
import sys

import pytest

from tests.helpers.paths import ROOT

CODE = """
import sys
from textgen.training.memory import return_freed_memory
if sys.argv[1] == "told":
    return_freed_memory()
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6
first = b"x" * 24_000_000  # glibc learns from the first block that is freed: the next are kept
del first
blocks, between = [], []
for _ in range(20):
    blocks.append(b"x" * 8_000_000)
    between.append(b"x" * 100_000)  # what stays above a freed block pins it
before = resident()
del blocks
print(before - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_freed_uploads_go_back_to_the_system():
    def freed(told):
        argv = [sys.executable, "-c", CODE, told]
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True)
        return float(done.stdout)

    assert freed("told") > 150 > 50 > freed("not told")  # megabytes, of 160
