"""Encoders beside those that they were made of."""

import pytest

from textgen.errors import UserError


def refusal(call, *arguments):
    with pytest.raises(UserError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def assert_close(a, b):
    assert a.shape == b.shape
    assert (a - b).abs().max() < 1e-4 * b.abs().max()
