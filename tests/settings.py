"""Settings of the tests' own process: SQLite in a file as `default`, and PostgreSQL beside it.

Servers that tests start are real ones with the real settings, configured by environment (tests/servers.py).
"""

import os
import tempfile
from pathlib import Path

_FOLDER = Path(tempfile.mkdtemp(prefix="viewer-tests-"))
os.environ.setdefault("VIEWER_DATA_DIR", str(_FOLDER))
os.environ.setdefault("DATABASE_URL", "")

from config import cassandra  # noqa: E402
from config.settings import *  # noqa: E402, F403
from config.settings import databases  # noqa: E402
from tests import services  # noqa: E402

_sqlite = databases(f"sqlite:///{_FOLDER / 'tests.sqlite3'}")
_sqlite["default"]["TEST"] = {"NAME": str(_FOLDER / "tests.sqlite3")}
_postgres = databases(services.POSTGRES_URL)["default"]
_postgres["TEST"] = {"NAME": f"viewer_unit_{os.getpid()}", "DEPENDENCIES": []}
_sqlite["default"]["TEST"]["DEPENDENCIES"] = []
DATABASES = {**_sqlite, "postgres": _postgres}
CASSANDRA_KEYSPACE = f"viewer_unit_{os.getpid()}"
CASSANDRA_PROFILE = cassandra.STORE_PROFILE
DATABASES["cassandra"] = cassandra.database(
    hosts=["127.0.0.1"],
    port=int(services.CASSANDRA_PORT),
    keyspace=CASSANDRA_KEYSPACE,
    replication="1",
    consistency="local_quorum",
    local_dc="",
    timeout_ms=20_000,
    login=("", ""),
)
INSTALLED_APPS = ["viewer.cassandra_tables", "django_cassandra_engine", *INSTALLED_APPS]  # noqa: F405
MIGRATION_MODULES = {"cassandra_tables": None}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
