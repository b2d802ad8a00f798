"""Weights on disk: float16, or whole numbers of 8 bits with a scale a row; float32 when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from textgen.errors import UserError

SCALE = ".scale"  # what the name of a row's scales ends with
_BLOCK = 1 << 18  # numbers that are rounded at a time


class Weights(Mapping[str, np.ndarray]):
    """Arrays by name, float32, each made from what is stored when asked for: all at once would take thrice the memory."""

    def __init__(self, stored: Mapping[str, np.ndarray]):
        """`stored` as `pack` gives it. Raises UserError for scales that do not fit."""
        self._stored = stored
        self._names = [name for name in stored if not self._is_scale(name)]
        for name in self._names:
            array, scale = stored[name], stored.get(name + SCALE)
            if array.dtype == np.int8 and (
                scale is None or scale.shape != (len(array),) or scale.dtype.kind != "f"
            ):
                raise UserError(f"{name}: has no scale for each of its rows")

    def _is_scale(self, name: str) -> bool:
        whole = self._stored.get(name.removesuffix(SCALE))
        return name.endswith(SCALE) and whole is not None and whole.dtype == np.int8

    def __getitem__(self, name: str) -> np.ndarray:
        if self._is_scale(name):
            raise KeyError(name)
        array = self._stored[name]
        with np.errstate(over="ignore"):  # of a file that holds wider numbers
            wide = array.astype(np.float32)
            if array.dtype == np.int8:
                scale = self._stored[name + SCALE].astype(np.float32)
                wide *= scale.reshape(-1, *[1] * (array.ndim - 1))
        return wide

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def part(self, prefix: str) -> Weights:
        """Those whose names begin with `prefix`, without it."""
        size = len(prefix)
        return Weights(
            {name[size:]: array for name, array in self._stored.items() if name.startswith(prefix)}
        )

    def not_finite(self) -> str | None:
        """The first that holds NaN or infinity, if any does; without making all of them."""
        for name in self._names:
            array = self._stored[name]
            with np.errstate(over="ignore", invalid="ignore"):
                # Of whole numbers none is larger than 128.
                wide = (
                    self._stored[name + SCALE].astype(np.float32) * 128 if array.dtype == np.int8 else array
                )
                finite = np.isfinite(wide if wide.dtype.itemsize <= 4 else wide.astype(np.float32)).all()
            if not finite:
                return name
        return None

    def rounded(self, name: str, steps: int) -> tuple[np.ndarray, np.ndarray]:
        """As the function `rounded` makes it: of what is stored so, without a way round by float32."""
        if rows := self.rows(name):
            whole, scale = rows[0], rows[1].astype(np.float32)
            largest = np.abs(whole.reshape(len(whole), -1).astype(np.int16)).max(axis=1, initial=0)
            if ((largest == steps) | (largest == 0)).all():
                return whole, np.where(largest, scale, np.float32(0))
        return rounded(self[name], steps)

    def rows(self, name: str) -> tuple[np.ndarray, np.ndarray] | None:
        """The whole numbers and their scales (rows,), where `name` is stored so."""
        array = self._stored[name]
        return (array, self._stored[name + SCALE]) if array.dtype == np.int8 else None


Rounding = int | tuple[np.ndarray, np.ndarray]
"""How many steps on either side of 0 a weight is rounded to, or what it was rounded to: numbers, int8, and scales a row."""


def pack(
    weights: Mapping[str, np.ndarray], steps: Mapping[str, Rounding] | None = None
) -> dict[str, np.ndarray]:
    """`weights` as they are stored: those named in `steps` rounded so, the others float16.

    Raises UserError naming one that is not finite.
    """
    packed: dict[str, np.ndarray] = {}
    for name, array in weights.items():
        if steps and name in steps:
            how = steps[name]
            packed[name], packed[name + SCALE] = rounded(array, how) if isinstance(how, int) else how
            finite = np.isfinite(packed[name + SCALE]).all()
        else:
            with np.errstate(over="ignore"):
                packed[name] = np.ascontiguousarray(array, dtype=np.float16)
            finite = np.isfinite(packed[name]).all()
        if not finite:
            raise UserError(f"{name}: not finite in float16; the model is not written")
    return packed


def rounded(array: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """`array` (N, ...) as numbers from -`steps` to `steps`, int8, with the size of a step for each row (N,), float32.

    What is rounded once is rounded to the same numbers again.
    """
    rows = array.reshape(len(array), -1)
    scale, whole = np.empty(len(rows), np.float32), np.empty(rows.shape, np.int8)
    # Some rows at a time: what is between would take four times the memory, and longer to come than to be filled.
    count = max(1, _BLOCK // max(1, rows.shape[1]))
    for start in range(0, len(rows), count):
        part = rows[start : start + count]
        largest = np.maximum(part.max(axis=1, initial=0), -part.min(axis=1, initial=0))
        size = (largest / steps).astype(np.float32)
        with np.errstate(invalid="ignore"):  # of what is not finite, which `pack` refuses by name
            divided = part / np.where(size > 0, size, 1)[:, None]
            np.rint(divided, out=divided)
            whole[start : start + count] = np.clip(divided, -steps, steps, out=divided)
        scale[start : start + count] = size
    return whole.reshape(array.shape), scale
