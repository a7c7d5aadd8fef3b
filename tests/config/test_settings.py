"""config/settings.py: what the environment decides, that .env.example lists all of it, and where things are kept."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from config import settings as ours
from tests.servers import ROOT

EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")
LISTED = re.findall(r"^([A-Z_]+)=(.*)$", EXAMPLE, re.MULTILINE)
TOLD = "import json; from config import settings as s; print(json.dumps({n: repr(getattr(s, n)) for n in dir(s)}))"


def variables_read() -> set[str]:
    """The names in the calls of config.env that config/settings.py makes; a secret's `_FILE` twin is one as well."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / "config" / "settings.py").read_text(encoding="utf-8"))):
        match node:
            case ast.Call(ast.Attribute(ast.Name("env"), reader), [ast.Constant(str(name)), *_]):
                found |= {name, f"{name}_FILE"} if reader == "secret" else {name}
    return found


def settings_with(folder: Path, **environment: str) -> dict[str, Any]:
    """Every name of config.settings, with its repr, as a new process with this environment sees it."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    ran = subprocess.run(
        [sys.executable, "-c", TOLD],
        cwd=ROOT,
        env={**kept, "VIEWER_DATA_DIR": str(folder), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout)
    return {name: value for name, value in found.items() if name.isupper()}


def test_the_example_lists_exactly_the_variables_that_are_read() -> None:
    assert {name for name, _ in LISTED} == variables_read()


def test_the_example_lists_each_variable_once_with_a_word_about_it() -> None:
    names = [name for name, _ in LISTED]
    assert sorted(names) == sorted(set(names))
    for block in EXAMPLE.split("\n\n"):
        assert block.lstrip().startswith("#"), block


def test_the_example_as_it_stands_changes_nothing(tmp_path: Path) -> None:
    example = dict(LISTED) | {"VIEWER_DATA_DIR": str(tmp_path)}
    assert settings_with(tmp_path, **example) == settings_with(tmp_path)


def test_the_version_is_that_of_the_changelog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ours, "BASE_DIR", tmp_path)
    path = tmp_path / "CHANGELOG.md"
    path.write_text("# Changelog\n\n## [Unreleased]\n\n### Added\n", encoding="utf-8")
    assert ours._version() == "0.unreleased"
    path.write_text("# Changelog\n\n## [Unreleased]\n\n## [1.2.0] - 2026-03-01\n\n## [1.1.0]\n", encoding="utf-8")
    assert ours._version() == "1.2.0"


def test_the_version_here_is_in_the_changelog_or_unreleased() -> None:
    assert ours.VERSION == "0.unreleased" or f"## [{ours.VERSION}]" in (ROOT / "CHANGELOG.md").read_text()


def test_the_secret_key_is_made_once_and_its_owners_alone(tmp_path: Path) -> None:
    first = settings_with(tmp_path / "data")
    path = tmp_path / "data" / "secret_key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert first["SECRET_KEY"] == repr(path.read_text()) == settings_with(tmp_path / "data")["SECRET_KEY"]
    assert len(path.read_text()) >= 50
    assert [entry.name for entry in path.parent.iterdir()] == ["secret_key"]


def test_an_operators_secret_key_is_not_written_anywhere(tmp_path: Path) -> None:
    assert settings_with(tmp_path, VIEWER_SECRET_KEY="theirs")["SECRET_KEY"] == "'theirs'"
    assert list(tmp_path.iterdir()) == []


def test_many_first_starts_agree_on_one_secret_key(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from config.settings import SECRET_KEY; print(SECRET_KEY)"]
    environment = {**os.environ, "VIEWER_DATA_DIR": str(tmp_path)}
    started = [
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    assert len({process.communicate(timeout=30)[0] for process in started}) == 1


def test_a_data_folder_that_cannot_be_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(ours, "DATA_DIR", tmp_path / "file" / "data")
    monkeypatch.delenv("VIEWER_SECRET_KEY", raising=False)
    with pytest.raises(ImproperlyConfigured, match=r"^VIEWER_DATA_DIR: cannot keep .*/secret_key: Not a directory$"):
        ours._secret_key()


def test_sqlite_survives_a_power_cut_and_its_readers_cannot_write() -> None:
    made = ours.databases("sqlite:////data/viewer.sqlite3")
    assert set(made) == {"default", "reports"}
    assert {database["NAME"] for database in made.values()} == {"/data/viewer.sqlite3"}
    default, reports = made["default"]["OPTIONS"], made["reports"]["OPTIONS"]
    assert default["init_command"] == "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL"
    assert (default["transaction_mode"], reports["transaction_mode"]) == ("IMMEDIATE", "DEFERRED")
    assert reports["init_command"] == "PRAGMA query_only=1"
    assert {options["timeout"] for options in (default, reports)} == {20}


def test_each_thread_keeps_its_connection_to_postgresql_and_waits_not_long_for_it() -> None:
    made = ours.databases("postgres://rahul:pa%40ss@db.example:5433/viewer?sslmode=require")
    default = made["default"]
    assert default["ENGINE"] == "django.db.backends.postgresql"
    assert (default["HOST"], default["PORT"], default["NAME"]) == ("db.example", 5433, "viewer")
    assert (default["USER"], default["PASSWORD"]) == ("rahul", "pa@ss")
    assert default["OPTIONS"]["sslmode"] == "require"
    assert default["OPTIONS"]["connect_timeout"] == 5
    assert default["CONN_MAX_AGE"] is None
    assert {**made["reports"], "TEST": None} == {**default, "TEST": None}


@pytest.mark.parametrize(
    "url",
    ["nonsense", "viewer:geheim@db/viewer", "mongodb://viewer:geheim@db/viewer", "postgres://viewer:geheim@db:port/v"],
)
def test_what_is_no_databases_address_is_refused_without_repeating_its_password(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"^DATABASE_URL is no database's address\. ") as refused:
        ours.databases(url)
    assert "geheim" not in str(refused.value)
    assert refused.value.__suppress_context__


@pytest.mark.parametrize(
    ("url", "engine"), [("mysql://u:geheim@db/v", "mysql"), ("postgis://u:geheim@db/v", "postgis")]
)
def test_a_database_the_store_has_no_statements_for_is_refused(url: str, engine: str) -> None:
    told = f"DATABASE_URL names a {engine} database. The store speaks sqlite:/// and postgres://."
    with pytest.raises(ImproperlyConfigured) as refused:
        ours.databases(url)
    assert str(refused.value) == told


def test_debugging_and_foreign_hosts_are_off_by_default(tmp_path: Path) -> None:
    found = settings_with(tmp_path)
    assert (found["DEBUG"], found["HOST"], found["VIEWER_AUTH"]) == ("False", "'127.0.0.1'", "'off'")
    assert found["ALLOWED_HOSTS"] == "['127.0.0.1', 'localhost', '[::1]']"
