"""The learning rate over a training: it warms up, then falls."""

from __future__ import annotations

import math


def learning_rate(step: float, total: int, warmup: float, final: float) -> float:
    """Share of the peak at `step` of `total`: it rises for the share `warmup`, then falls along a cosine to `final`."""
    rising = max(1, round(warmup * total))
    if step < rising:
        return (step + 1) / rising
    done = min(1.0, (step - rising) / max(1, total - rising))
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * done))
