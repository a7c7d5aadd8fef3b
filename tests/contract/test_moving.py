"""The moving contract: `store` (tests/conftest.py) is the adapter on each database."""

from tests.contract.moving_contract import MovingContract, MovingOutboxContract


class TestMoving(MovingContract):
    """On each database."""


class TestMovingOutbox(MovingOutboxContract):
    """On each database."""
