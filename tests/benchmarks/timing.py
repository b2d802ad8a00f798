"""Contenders timed alternately, so that what the machine does besides falls on all of them alike."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Samples = dict[str, np.ndarray]


@dataclass(frozen=True)
class Contender:
    """What is timed: each round calls it once for the caches, then `calls` times by the clock."""

    run: Callable[[], object]
    calls: int = 1
    units: int = 1
    """Tokens or pictures of a call; times are of one."""


def alternate(contenders: Mapping[str, Contender], rounds: int) -> Samples:
    """Seconds a unit of every timed call, by contender."""
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            contender.run()
            for _ in range(contender.calls):
                started = time.perf_counter()
                contender.run()
                samples[name].append((time.perf_counter() - started) / contender.units)
    return {name: np.array(seconds) for name, seconds in samples.items()}


def spread(values: Sequence[float] | np.ndarray, scale: float = 1.0) -> dict[str, float]:
    """Median and 10th to 90th percentile, times `scale`."""
    low, median, high = np.percentile(np.asarray(values) * scale, [10, 50, 90])
    return {"median": float(median), "p10": float(low), "p90": float(high)}


def asked(value: float, target: str) -> dict:
    """A figure beside what was asked of it."""
    return {"value": float(value), "asked": target}


def shown(value) -> str:
    """A figure as the table has it."""
    if isinstance(value, dict) and "median" in value:
        return f"{_number(value['median'])}  ({_number(value['p10'])} to {_number(value['p90'])})"
    if isinstance(value, dict):
        return f"{_number(value['value'])}  (asked: {value['asked']})"
    return _number(value) if isinstance(value, float) else str(value)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"


def seconds_of_others() -> float:
    """CPU time that processes besides this one and its children have had, since the start of the machine."""
    try:
        ticks = Path("/proc/stat").read_text().split(maxsplit=9)[1:9]
    except OSError:  # no Linux
        return math.nan
    idle = {3, 4}  # of user, nice, system, idle, waiting for disks, interrupts of two kinds, stolen
    busy = sum(int(tick) for place, tick in enumerate(ticks) if place not in idle)
    return busy / os.sysconf("SC_CLK_TCK") - sum(os.times()[:4])


def process(command: Sequence[str]) -> tuple[float, float]:
    """Wall seconds and peak megabytes of a process that must succeed; what it prints is dropped."""
    # A process inherits its parent's peak, which here may hold torch: a small one stands between.
    starter = [sys.executable, "-I", "-S", str(Path(__file__).with_name("process_cost.py"))]
    found = json.loads(subprocess.run([*starter, *command], check=True, stdout=subprocess.PIPE).stdout)
    if found["status"]:
        raise RuntimeError(f"{' '.join(command)} ended with status {found['status']}")
    return found["seconds"], found["megabytes"]
