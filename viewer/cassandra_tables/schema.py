"""Runs the numbered `.cql` files, each once: what the engine's sync cannot do."""

from collections.abc import Iterator
from pathlib import Path

from cassandra.cluster import Session

FOLDER = Path(__file__).resolve().parent / "cql"


def files() -> list[Path]:
    """The files in the order of their numbers."""
    return sorted(FOLDER.glob("[0-9]*.cql"))


def statements(text: str, keyspace: str) -> list[str]:
    """The statements of one file, comments left out."""
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("--"))
    whole = "\n".join(lines).replace("@KEYSPACE@", keyspace)
    return [statement.strip() for statement in whole.split(";\n") if statement.strip(" \n;")]


def pending(session: Session, keyspace: str) -> list[Path]:
    """The files this keyspace has not seen."""
    done = {row["name"] for row in session.execute(f"SELECT name FROM {keyspace}.schema_files")}  # noqa: S608 - ours
    return [file for file in files() if file.name not in done]


def run(session: Session, keyspace: str) -> Iterator[str]:
    """Runs what is pending; yields each file's name once it is done. A statement may be run twice without harm."""
    record = f"INSERT INTO {keyspace}.schema_files (name, run_at) VALUES (%s, toTimestamp(now()))"  # noqa: S608 - ours
    for file in pending(session, keyspace):
        for statement in statements(file.read_text(encoding="utf-8"), keyspace):
            session.execute(statement)
        session.execute(record, [file.name])
        yield file.name
