"""What tests of the mode and its rules share."""

from collections.abc import Iterator

import pytest

from modes import policy


@pytest.fixture
def forgotten() -> Iterator[None]:
    """Each test rolls its rows back; what this process remembers of the mode and the rules must go too."""
    policy.forget()
    yield
    policy.forget()
