"""One fold of a learner at a time across workers. It saves work only: what is true is held by conditional saves.

Without Redis, or while it does not answer, everybody has a turn at once, and that is correct too.
"""

import functools
import logging
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

logger = logging.getLogger("viewer.turns")
TURN_MS = 15_000  # a turn whose worker was killed ends by itself; one that takes longer only loses its exclusiveness
PAUSE_SECONDS = 5  # without asking, after Redis did not answer: each question would cost its timeout
_GIVE_BACK = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"
_asked_again_at = 0.0


@contextmanager
def turn(user_id: str) -> Iterator[bool]:
    """As `turns`, of one learner: False where somebody else is at it."""
    with turns([user_id]) as mine:
        yield bool(mine)


@contextmanager
def turns(user_ids: Sequence[str]) -> Iterator[list[str]]:
    """Those of these learners that nobody else is folding now, in one round trip for all.

    Whoever is refused leaves the learner to the one who folds, and that one looks for marks again after its turn.
    """
    tokens = {_key(user_id): secrets.token_hex(8) for user_id in user_ids}
    taken = _take_all(tokens)
    mine = [user_id for user_id in user_ids if taken is None or taken[_key(user_id)]]
    _log("turn begins", mine)
    try:
        yield mine
    finally:
        _log("turn ends", mine)
        if taken is not None:
            _give_all_back({key: token for key, token in tokens.items() if taken[key]})


def _log(message: str, user_ids: Sequence[str]) -> None:
    if logger.isEnabledFor(logging.DEBUG):
        for user_id in user_ids:
            logger.debug(message, extra={"user_id": user_id})


def _key(user_id: str) -> str:
    return f"viewer:turn:{user_id}"


def _take_all(tokens: Mapping[str, str]) -> dict[str, bool] | None:
    """Key -> whether it was taken; None: nobody can tell."""
    if not settings.REDIS_URL or time.monotonic() < _asked_again_at:
        return None
    try:
        with _client(settings.REDIS_URL).pipeline(transaction=False) as pipe:
            for key, token in tokens.items():
                pipe.set(key, token, nx=True, px=TURN_MS)
            return dict(zip(tokens, map(bool, pipe.execute()), strict=True))
    except (redis.RedisError, OSError) as error:
        _unavailable(error)
        return None


def _give_all_back(tokens: Mapping[str, str]) -> None:
    """Ends these turns, but for those that ended by themselves and are another's by now."""
    try:
        with _client(settings.REDIS_URL).pipeline(transaction=False) as pipe:
            for key, token in tokens.items():
                pipe.eval(_GIVE_BACK, 1, key, token)
            pipe.execute()
    except (redis.RedisError, OSError) as error:
        _unavailable(error)


def _unavailable(error: Exception) -> None:
    global _asked_again_at  # noqa: PLW0603 - one pause for the process
    _asked_again_at = time.monotonic() + PAUSE_SECONDS
    logger.warning("folding without turns", extra={"error": str(error)})


@functools.cache
def _client(url: str) -> redis.Redis:
    """A client with a pool of its own, which redis-py leaves behind in a forked child. It never tries twice."""
    seconds = settings.VIEWER_REDIS_TIMEOUT_MS / 1000
    return redis.Redis.from_url(
        url, socket_timeout=seconds, socket_connect_timeout=seconds, retry=Retry(NoBackoff(), 0)
    )
