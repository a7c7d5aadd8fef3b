"""What every reader and writer of a database does about one that does not answer."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import InterfaceError, OperationalError

from common.errors import Unavailable

logger = logging.getLogger("viewer.store")


@contextmanager
def available() -> Iterator[None]:
    """Turns a database that does not answer into Unavailable. Also a decorator: `@available()`."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        logger.warning("store unavailable", extra={"error": str(error).strip()})
        raise Unavailable("The store does not answer; nothing was acknowledged, try again") from error
