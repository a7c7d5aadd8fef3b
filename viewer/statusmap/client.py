"""Redis as the map uses it: which process answers is known, nothing is tried twice, nothing waits longer than told."""

from collections.abc import Collection, Sequence
from types import TracebackType
from typing import Any

from django_redis import get_redis_connection  # type: ignore[import-untyped]
from redis import exceptions
from redis.connection import AbstractConnection, BlockingConnectionPool, Connection

Command = Sequence[str | bytes | int]


class Failed(Exception):
    """Redis did not answer, not in time, refused, or is not a server that holds the map."""


class Identified(AbstractConnection):
    """A connection that knows which server process it reached, and with which history of its data.

    A process that restarts gets another run id; a replica that took over, and a former master that took the data of
    its successor, another replication id. Neither has all that was written to the server it stands for.
    """

    identity: str = ""

    def on_connect_check_health(self, check_health: bool = True) -> None:
        """Introduces the connection, then asks for the server's identity."""
        super().on_connect_check_health(check_health=check_health)
        told: dict[str, str] = {}
        for section in ("server", "replication"):
            self.send_command("INFO", section, check_health=False)  # type: ignore[no-untyped-call]
            lines = self.read_response().decode().splitlines()
            told |= dict(line.split(":", 1) for line in lines if ":" in line)
        if not {"run_id", "master_replid"} <= told.keys():
            raise exceptions.ConnectionError("the server does not tell who it is")
        self.identity = f"{told['run_id']}:{told['master_replid']}"


class Pool(BlockingConnectionPool):
    """A bounded pool of identified connections, of whatever kind the URL asks for (plain, TLS, socket file)."""

    def __init__(self, connection_class: type[AbstractConnection] = Connection, **options: Any) -> None:
        kind = type(f"Identified{connection_class.__name__}", (Identified, connection_class), {})
        super().__init__(connection_class=kind, **options)  # type: ignore[no-untyped-call]


class Line:
    """One connection for as long as its block: several rounds of commands may be sent before the answers are read."""

    def __init__(self, servers: Collection[str] | None) -> None:
        """Connects where no connection waits in the pool. servers: who may answer; None: anybody. Raises Failed."""
        self._pool = get_redis_connection("default").connection_pool
        self._awaited = 0
        try:
            self._connection: Any = self._pool.get_connection()
        except (exceptions.RedisError, OSError) as error:
            raise Failed(str(error)) from error
        self.identity: str = self._connection.identity
        if servers is not None and self.identity not in servers:
            self._connection.disconnect()
            self.close()
            raise Failed("this server does not hold the map")

    def __enter__(self) -> "Line":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def send(self, commands: Sequence[Command]) -> None:
        """Sends the commands and waits for nothing. Raises Failed."""
        self._awaited += len(commands)
        try:
            self._connection.send_packed_command([b"".join(map(_packed, commands))])
        except (exceptions.RedisError, OSError) as error:
            raise Failed(str(error)) from error

    def answers(self) -> list[Any]:
        """The answers to all that was sent and not read, in order. Raises Failed where one of them is an error."""
        found = []
        try:
            while self._awaited:
                found.append(self._connection.read_response())
                self._awaited -= 1
        except (exceptions.RedisError, OSError) as error:
            raise Failed(str(error)) from error
        return found

    def close(self) -> None:
        """Gives the connection back; one with unread answers is of no more use to anybody."""
        if self._awaited:
            self._connection.disconnect()
        self._pool.release(self._connection)


def _packed(command: Command) -> bytes:
    """The command as Redis reads it; redis-py's own way looks at every part's type a dozen times."""
    told = [b"*%d\r\n" % len(command)]
    for part in command:
        value = part if isinstance(part, bytes) else str(part).encode()
        told.append(b"$%d\r\n%b\r\n" % (len(value), value))
    return b"".join(told)


def exchange(servers: Collection[str] | None, commands: Sequence[Command]) -> list[Any]:
    """The answers to these commands, in one round trip. Raises Failed."""
    with Line(servers) as line:
        line.send(commands)
        return line.answers()
