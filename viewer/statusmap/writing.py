"""The writer's side: what the map has to know before a write is acknowledged.

    with statusmap.writing([user_id]) as written:
        applied = store.apply(key, event)
        written.show([(key, applied)])

As the block begins, the learner's writes in progress are announced; nobody waits for that answer, which comes with the
one at the end. As it ends, the rows are put into the map. A process that is killed in between leaves the announcement
behind, and no read believes the map then. Where Redis does not do all this, the map is switched off, and the caller
waits until every process knows it.
"""

import logging
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager

from django.conf import settings

from common import timestamps
from common.rows import Consumption, ContextKey, RowKey
from viewer.lifecycle import Outcome
from viewer.statusmap import client, packing, scripts
from viewer.statusmap.counters import count
from viewer.statusmap.lookup import lifetime
from viewer.statusmap.state import Phase, State, states
from viewer.store import Applied, get_store

logger = logging.getLogger("viewer.statusmap")
_UNWRITTEN = {Outcome.OLDER, Outcome.DUPLICATE}  # acknowledged, though nothing was written


class Written:
    """What one write did, collected inside its block."""

    def __init__(self) -> None:
        self.rows: dict[RowKey, Consumption] = {}
        self.unwritten: set[RowKey] = set()
        self.forgotten = False

    def show(self, applied: Iterable[tuple[RowKey, Applied]]) -> None:
        """These events were applied to these rows.

        An event that wrote nothing says that another one wrote as much before, and that one may have been killed
        before it told the map: its row is read from the store and shown as well.
        """
        for key, one in applied:
            if one.row is not None:
                self.rows[key] = one.row
            elif one.outcome in _UNWRITTEN:
                self.unwritten.add(key)

    def forget(self) -> None:
        """More was written than rows that moved forward (attempts, imports, removals): nothing of before is true."""
        self.forgotten = True


@contextmanager
def writing(user_ids: Collection[str]) -> Iterator[Written]:
    """Around the writes of one call to these learners' rows, all of which come after its beginning.

    When the block has ended, every later read shows what it wrote. Raises Unavailable where that cannot be made sure;
    then nothing may be acknowledged. Cost: one round trip; for events that wrote nothing also one query.
    """
    written = Written()
    if not settings.REDIS_URL:
        yield written
        return
    announced = _Announced(states.current(), user_ids)
    try:
        yield written
        announced.finish(written)
    except BaseException:
        announced.withdraw()
        raise
    finally:
        announced.close()


class _Announced:
    """A write in progress, as the map was told of it."""

    def __init__(self, state: State, user_ids: Collection[str]) -> None:
        self._state = state
        self._users = sorted(set(user_ids))
        self._token = secrets.token_hex(8)
        self._line: client.Line | None = None
        if state.phase is not Phase.OFF and (failure := self._failed(self._announce)):
            self._switch_off(failure)
            states.wait_until_closed()  # before the store is written: nobody sees what others do not see yet

    def finish(self, written: Written) -> None:
        """Tells the map what was written, or switches it off."""
        state = states.current()  # only now: what was off before the store was written may be on since
        if state.epoch != self._state.epoch:
            self.close()
        self._state = state
        if state.phase is not Phase.OFF:
            commands = self._forget() if written.forgotten else self._show(written)
            if failure := self._failed(lambda: self._send(commands)):
                self._switch_off(failure)
        states.wait_until_closed()

    def withdraw(self) -> None:
        """Nobody knows what was written: nothing is acknowledged, and what the map said before is void."""
        if self._line is not None:
            self._failed(lambda: self._send(self._forget()))

    def close(self) -> None:
        """Gives the connection back."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def _failed(self, work: Callable[[], object]) -> client.Failed | None:
        """What came in the way of `work`."""
        try:
            work()
        except client.Failed as error:
            self.close()  # used again it would connect again, to whatever answers there now
            return error
        return None

    def _announce(self) -> None:
        self._line = client.Line(self._state.servers)
        self._line.send([self._script(scripts.BEGIN_WRITE, [self._writers(user)], lifetime()) for user in self._users])

    def _send(self, commands: Sequence[client.Command]) -> None:
        self._line = self._line or client.Line(self._state.servers)
        self._line.send(commands)
        self._line.answers()

    def _show(self, written: Written) -> list[client.Command]:
        rows = dict(written.rows)
        if unwritten := sorted(written.unwritten - set(rows)):
            rows |= {row.key: row for row in get_store().rows(unwritten)}
        return [
            self._script(scripts.WRITE, *self._rows(user, [row for row in rows.values() if row.key.user_id == user]))
            for user in self._users
        ]

    def _rows(self, user: str, rows: Sequence[Consumption]) -> tuple[list[str], *tuple[str | bytes | int, ...]]:
        """The keys, then the number of its key, field and value of each row."""
        contexts = list(dict.fromkeys(row.key.context for row in rows))
        keys = [self._generation(user), self._writers(user), *map(self._hash, contexts)]
        number = {context: place for place, context in enumerate(contexts, 3)}
        told: list[str | bytes | int] = []
        for row in rows:
            told += [number[row.key.context], f"{packing.ROW}{row.key.content_id}", packing.packed(row)]
        return keys, *told

    def _forget(self) -> list[client.Command]:
        return [self._script(scripts.FORGET, [self._generation(user), self._writers(user)]) for user in self._users]

    def _script(self, script: str, keys: Sequence[str], *arguments: str | bytes | int) -> client.Command:
        return ("EVAL", script, len(keys), *keys, self._token, *arguments)

    def _generation(self, user: str) -> str:
        return packing.generation_key(self._state.epoch, user)

    def _writers(self, user: str) -> str:
        return packing.writers_key(self._state.epoch, user)

    def _hash(self, context: ContextKey) -> str:
        return packing.hash_key(self._state.epoch, context)

    def _switch_off(self, failure: client.Failed) -> None:
        """Ends this epoch, unless somebody else was first. Raises Unavailable."""
        count("failures")
        if states.switch_off(self._state.epoch, timestamps.now()):
            count("switched_off")
            logger.warning("status map switched off", extra={"epoch": self._state.epoch, "error": str(failure)})
