"""Django settings. Every choice of an operator comes from the environment; `.env.example` lists them all.

The mode of the instance is not here: it is an admin's decision and lives in the database (modes/).
"""

import re
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dj_database_url
import django_stubs_ext
from django.core.exceptions import ImproperlyConfigured

from config import env

django_stubs_ext.monkeypatch()  # lets ModelAdmin[Model] and its like be written at run time too

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(env.text("VIEWER_DATA_DIR", str(BASE_DIR / "var")))


def _version() -> str:
    """The newest released version in the CHANGELOG, or 0 with the word unreleased."""
    found = re.search(r"^## \[(\d[^\]]*)\]", (BASE_DIR / "CHANGELOG.md").read_text(), re.MULTILINE)
    return found.group(1) if found else "0.unreleased"


def _secret_key() -> str:
    """The operator's key, or one made on the first start and kept in the data folder, readable by its owner only."""
    if given := env.secret("VIEWER_SECRET_KEY"):
        return given
    path = DATA_DIR / "secret_key"
    try:
        return _kept_key(path)
    except OSError as error:
        raise ImproperlyConfigured(f"VIEWER_DATA_DIR: cannot keep {path}: {error.strerror}") from None


def _kept_key(path: Path) -> str:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"secret_key.{secrets.token_hex(4)}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(48))
        try:
            path.hardlink_to(draft)  # the first of several processes wins; nobody reads half a key
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()


VERSION = _version()
SECRET_KEY = _secret_key()
DEBUG = env.flag("VIEWER_DEBUG", False)

# --- where it listens ------------------------------------------------------------------------------------------
HOST = env.text("VIEWER_HOST", "127.0.0.1")
PORT = env.integer("PORT", 8000, minimum=1, maximum=65535)
ALLOWED_HOSTS = env.words("VIEWER_ALLOWED_HOSTS", ("127.0.0.1", "localhost", "[::1]"))
CSRF_TRUSTED_ORIGINS = env.words("VIEWER_TRUSTED_ORIGINS")
SERVER_PROCESSES = env.integer("VIEWER_SERVER_PROCESSES", 1, minimum=1, maximum=64)
SERVER_THREADS = env.integer("VIEWER_SERVER_THREADS", 8, minimum=1, maximum=256)

# --- who is calling ----------------------------------------------------------------------------------------------
VIEWER_AUTH = env.choice("VIEWER_AUTH", "off", ("off", "jwt"))
VIEWER_JWT_PUBLIC_KEY = env.secret("VIEWER_JWT_PUBLIC_KEY")
VIEWER_JWT_JWKS_URL = env.text("VIEWER_JWT_JWKS_URL")
VIEWER_JWT_ISSUER = env.text("VIEWER_JWT_ISSUER")
VIEWER_JWT_AUDIENCE = env.text("VIEWER_JWT_AUDIENCE")
VIEWER_JWT_LEEWAY_SECONDS = env.integer("VIEWER_JWT_LEEWAY_SECONDS", 30, minimum=0, maximum=600)

# --- limits ------------------------------------------------------------------------------------------------------
VIEWER_MAX_OFFLINE_DAYS = env.integer("VIEWER_MAX_OFFLINE_DAYS", 90, minimum=0, maximum=3660)
VIEWER_MAX_BODY_BYTES = env.integer("VIEWER_MAX_BODY_BYTES", 2_000_000, minimum=1_000)
VIEWER_MAX_DETAILS_BYTES = env.integer("VIEWER_MAX_DETAILS_BYTES", 16_384, minimum=256)
VIEWER_LINK_SECONDS = env.integer("VIEWER_LINK_SECONDS", 900, minimum=1, maximum=86_400)
DATA_UPLOAD_MAX_MEMORY_SIZE = VIEWER_MAX_BODY_BYTES

# --- where learners' rows live -------------------------------------------------------------------------------
VIEWER_STORE = env.choice("VIEWER_STORE", "orm", ("orm", "cassandra"))
DATABASE_URL = env.secret("DATABASE_URL", f"sqlite:///{DATA_DIR / 'viewer.sqlite3'}")

_SPOKEN = "The store speaks sqlite:/// and postgres://."


def _sqlite(name: str, *, writes: bool) -> dict[str, Any]:
    """A SQLite connection that survives a power cut once acknowledged and whose readers never block a writer.

    Writers take the lock as they begin (IMMEDIATE), or a transaction that starts by reading could not be
    upgraded when another one wrote meanwhile. The read alias begins DEFERRED, so that a long report holds no lock.
    """
    pragmas = ["journal_mode=WAL", "synchronous=FULL"] if writes else ["query_only=1"]
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": name,
        "CONN_MAX_AGE": None,
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE" if writes else "DEFERRED",
            "timeout": 20,
            "init_command": "; ".join(f"PRAGMA {pragma}" for pragma in pragmas),
        },
        "TEST": {} if writes else {"MIRROR": "default"},
    }


def databases(url: str) -> dict[str, dict[str, Any]]:
    """`default` for everything that writes and `reports` for long reads, both on the database of `url`."""
    try:
        parsed: dict[str, Any] = dict(dj_database_url.parse(url))
    except (dj_database_url.ParseError, ValueError):
        raise ImproperlyConfigured(f"DATABASE_URL is no database's address. {_SPOKEN}") from None  # it has a password
    if parsed["ENGINE"] == "django.db.backends.sqlite3":
        if parsed["NAME"] == ":memory:":  # every process, even every thread, would have a database of its own
            raise ImproperlyConfigured(f"DATABASE_URL names a database in memory. {_SPOKEN}")
        return {
            "default": _sqlite(parsed["NAME"], writes=True),
            "reports": _sqlite(parsed["NAME"], writes=False),
        }
    if parsed["ENGINE"] != "django.db.backends.postgresql":
        raise ImproperlyConfigured(f"DATABASE_URL names a {parsed['ENGINE'].rsplit('.', 1)[-1]} database. {_SPOKEN}")
    # Values apart from the text, and a statement prepared at its fifth use: planning costs more than most of them do.
    prepared = {"server_side_binding": True, "prepare_threshold": 5}
    # Each thread keeps its connection: a pool's turn costs a tenth of a write. 5 s: an outage must not hold them all.
    parsed["CONN_MAX_AGE"] = None
    parsed["OPTIONS"] = {**prepared, "connect_timeout": 5, **parsed.get("OPTIONS", {})}
    return {"default": parsed, "reports": {**parsed, "TEST": {"MIRROR": "default"}}}


DATABASES = databases(DATABASE_URL)

# --- Cassandra: learners' rows and aggregates of a country; everything else stays in DATABASE_URL ----------------
CASSANDRA = "cassandra"  # its alias among DATABASES
CASSANDRA_HOSTS = env.words("VIEWER_CASSANDRA_HOSTS", ("127.0.0.1",))
CASSANDRA_PORT = env.integer("VIEWER_CASSANDRA_PORT", 9042, minimum=1, maximum=65535)
CASSANDRA_KEYSPACE = env.text("VIEWER_CASSANDRA_KEYSPACE", "viewer")
CASSANDRA_USER = env.text("VIEWER_CASSANDRA_USER")
CASSANDRA_PASSWORD = env.secret("VIEWER_CASSANDRA_PASSWORD")
CASSANDRA_REPLICATION = env.text("VIEWER_CASSANDRA_REPLICATION", "3")
CASSANDRA_CONSISTENCY = env.choice(
    "VIEWER_CASSANDRA_CONSISTENCY", "local_quorum", ("one", "local_one", "local_quorum", "quorum")
)
CASSANDRA_LOCAL_DC = env.text("VIEWER_CASSANDRA_LOCAL_DC")
CASSANDRA_TIMEOUT_MS = env.integer("VIEWER_CASSANDRA_TIMEOUT_MS", 5_000, minimum=100, maximum=60_000)
if VIEWER_STORE == CASSANDRA:
    from config import cassandra  # the driver is loaded only where it is used

    CASSANDRA_PROFILE = cassandra.STORE_PROFILE
    DATABASES[CASSANDRA] = cassandra.database(
        hosts=CASSANDRA_HOSTS,
        port=CASSANDRA_PORT,
        keyspace=CASSANDRA_KEYSPACE,
        replication=CASSANDRA_REPLICATION,
        consistency=CASSANDRA_CONSISTENCY,
        local_dc=CASSANDRA_LOCAL_DC,
        timeout_ms=CASSANDRA_TIMEOUT_MS,
        login=(CASSANDRA_USER, CASSANDRA_PASSWORD),
    )
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Redis: the status map, locks that save work ----------------------------------------------------------------
REDIS_URL = env.secret("REDIS_URL")
VIEWER_REDIS_TIMEOUT_MS = env.integer("VIEWER_REDIS_TIMEOUT_MS", 250, minimum=10, maximum=10_000)
VIEWER_STATUS_MAP_HOURS = env.integer("VIEWER_STATUS_MAP_HOURS", 24, minimum=1, maximum=8760)


def caches(redis_url: str) -> dict[str, dict[str, Any]]:
    """`default` on Redis, where there is one. Nothing is tried twice: the status map has to know what failed."""
    if not redis_url:
        return {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    seconds = VIEWER_REDIS_TIMEOUT_MS / 1000
    pool = {"max_connections": SERVER_THREADS + 2, "timeout": seconds, "health_check_interval": 0, "protocol": 2}
    options = {
        "CONNECTION_POOL_CLASS": "viewer.statusmap.client.Pool",
        "CONNECTION_POOL_KWARGS": {**pool, "driver_info": None},
        "SOCKET_CONNECT_TIMEOUT": seconds,
        "SOCKET_TIMEOUT": seconds,
    }
    return {"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": redis_url, "OPTIONS": options}}


CACHES = caches(REDIS_URL)

# --- Sunbird's services: collections, batches and profiles that our tables do not have, or have had for long -----


def service_urls(**urls: str) -> dict[str, str]:
    """The services that have an address, by name. Raises ImproperlyConfigured for what is none."""
    for name, url in urls.items():
        try:
            parts = urlsplit(url)
            usable = parts.scheme in {"http", "https"} and parts.hostname and (parts.port or 1)
        except ValueError:
            usable = None
        if url and (not usable or "@" in url or set(url) & set("?# \t")):
            raise ImproperlyConfigured(f"VIEWER_{name.upper()}_SERVICE_URL must be like http://content-service:9000")
    return {name: url for name, url in urls.items() if url}


def service_headers(text: str) -> dict[str, str]:
    """The headers of `Name: value` parted by ";" or line ends. Raises ImproperlyConfigured, and never tells a value."""
    found = {}
    for part in filter(str.strip, re.split(r"[;\n]", text)):
        header = re.fullmatch(r"([A-Za-z0-9-]+):\s*([\x21-\x7e][\x20-\x7e]*)", part.strip())
        if not header:
            raise ImproperlyConfigured('VIEWER_SUNBIRD_HEADERS must be like "Authorization: Bearer abc; X-Name: value"')
        found[header[1]] = header[2]
    return found


VIEWER_SUNBIRD_SERVICES = service_urls(
    content=env.text("VIEWER_CONTENT_SERVICE_URL"),
    batch=env.text("VIEWER_BATCH_SERVICE_URL"),
    user=env.text("VIEWER_USER_SERVICE_URL"),
)
VIEWER_SUNBIRD_HEADERS = service_headers(env.secret("VIEWER_SUNBIRD_HEADERS"))
VIEWER_SUNBIRD_TIMEOUT_MS = env.integer("VIEWER_SUNBIRD_TIMEOUT_MS", 2_000, minimum=50, maximum=30_000)
VIEWER_HIERARCHY_SECONDS = env.integer("VIEWER_HIERARCHY_SECONDS", 300, minimum=1, maximum=604_800)
VIEWER_BATCH_SECONDS = env.integer("VIEWER_BATCH_SECONDS", 60, minimum=1, maximum=604_800)
VIEWER_PROFILE_SECONDS = env.integer("VIEWER_PROFILE_SECONDS", 3_600, minimum=1, maximum=604_800)

# --- what happens after the answer ---------------------------------------------------------------------------
VIEWER_SWEEP_SECONDS = env.integer("VIEWER_SWEEP_SECONDS", 5, minimum=1, maximum=3600)
VIEWER_UNKNOWN_TREE_SECONDS = env.integer("VIEWER_UNKNOWN_TREE_SECONDS", 60, minimum=1, maximum=86_400)
VIEWER_REOPEN_ON_REPUBLISH = env.flag("VIEWER_REOPEN_ON_REPUBLISH", False)
VIEWER_EVENTS_DIR = Path(env.text("VIEWER_EVENTS_DIR", str(DATA_DIR / "events")))
VIEWER_WORKER = env.flag("VIEWER_WORKER", True)
VIEWER_WORKER_QUEUES = env.words("VIEWER_WORKER_QUEUES", ("viewer", "exhaust"))
VIEWER_WORKER_PROCESSES = env.integer("VIEWER_WORKER_PROCESSES", 1, minimum=1, maximum=64)
VIEWER_BEAT = env.flag("VIEWER_BEAT", True)
VIEWER_WAKE_MS = env.integer("VIEWER_WAKE_MS", 50, minimum=0, maximum=10_000)
VIEWER_TASK_SECONDS = env.integer("VIEWER_TASK_SECONDS", 60, minimum=1, maximum=86_400)
CELERY_BROKER_URL = env.secret("CELERY_BROKER_URL", "filesystem://")


def broker_options(url: str) -> dict[str, Any]:
    """What the broker of `url` is to be told. No wait is endless, or a paused one would hold a sender for ever."""
    scheme = url.split(":", 1)[0]
    if scheme == "filesystem":
        # No server: messages are files that the worker looks for. What is lost with the folder, the marks bring back.
        folder = DATA_DIR / "broker"
        return {
            "data_folder_in": str(folder / "queue"),
            "data_folder_out": str(folder / "queue"),
            "control_folder": str(folder / "control"),
            "polling_interval": 0.1,
        }
    if scheme in {"redis", "rediss"}:
        # visibility_timeout: when what a dead worker had in hand is given to another; longer than any task runs, and
        # no learner waits for it, because the sweep comes first.
        return {
            "socket_connect_timeout": 1,
            "socket_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 10,
            "visibility_timeout": max(3600, 2 * VIEWER_TASK_SECONDS),
        }
    if scheme in {"amqp", "amqps", "pyamqp"}:
        # Confirmed: one more round trip for up to 100 learners, on nobody's request, and a broker that has stopped is
        # noticed and told instead of filling the socket's buffer.
        return {"confirm_publish": True, "write_timeout": 5}
    return {}


CELERY_BROKER_TRANSPORT_OPTIONS = broker_options(CELERY_BROKER_URL)
CELERY_BROKER_CONNECTION_TIMEOUT = 1  # s
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # a worker waits for its broker as long as it takes
CELERY_BROKER_HEARTBEAT = 10  # s; amqp: a worker notices within two of them that its broker is gone without a word
CELERY_TASK_PUBLISH_RETRY = False
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "viewer"
CELERY_TASK_DEFAULT_DELIVERY_MODE = "transient"  # the store's marks outlive the broker; its messages need not
CELERY_TASK_ROUTES = {"exhaust.*": {"queue": "exhaust"}}  # a report of an hour holds up no learner's progress
CELERY_TASK_SOFT_TIME_LIMIT = VIEWER_TASK_SECONDS
CELERY_TASK_TIME_LIMIT = VIEWER_TASK_SECONDS + 15
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = False  # the mark brings the work back; the message may have killed the worker
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_PROC_ALIVE_TIMEOUT = 30  # s; a busy machine forks slowly
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
# Beat keeps one connection and renews it only to try again; it waits for an answer (amqp) 5 s and no longer.
_SWEEP = {
    "expires": VIEWER_SWEEP_SECONDS,
    "confirm_timeout": 5,
    "retry": True,
    "retry_policy": {"max_retries": 3, "interval_start": 0, "interval_step": 1},
}
CELERY_BEAT_SCHEDULE = {
    "sweep": {"task": "viewer.sweep", "schedule": VIEWER_SWEEP_SECONDS, "options": _SWEEP},
}

# --- Django ------------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "common",
    "catalogue",
    "modes",
    "viewer",
    "summaries",
    "exhaust",
]
if VIEWER_STORE == CASSANDRA:
    # First, so that its sync_cassandra is the one that runs.
    INSTALLED_APPS = ["viewer.cassandra_tables", "django_cassandra_engine", *INSTALLED_APPS]
    MIGRATION_MODULES = {"cassandra_tables": None}

MIDDLEWARE = [
    "common.middleware.RequestLog",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
# Calls of the API have no session, no form and no frame: they are authenticated one by one, and answered in JSON. They
# pass none of the above but the log (config.wsgi).
API_PATHS = ("/v1/", "/v2/", "/api/", "/private/", "/health", "/ready")
APPEND_SLASH = False
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("MinimumLengthValidator", "CommonPasswordValidator", "NumericPasswordValidator")
]
LANGUAGE_CODE = "en"
USE_TZ = True
TIME_ZONE = "UTC"  # of the admin's pages and the database session
VIEWER_TIME_ZONE = env.text(
    "VIEWER_TIME_ZONE", "Asia/Kolkata"
)  # of calendar days: batch ends, rule windows, file names
STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
WHITENOISE_USE_FINDERS = True  # serves what the installed apps bring, without a collectstatic step
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env.flag("VIEWER_SECURE_COOKIES", False)
SECURE_REFERRER_POLICY = "same-origin"

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["common.identity.LearnerToken"],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "common.openapi.EnvelopeSchema",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Sunbird Viewer Service",
    "DESCRIPTION": (
        "Records content views and assessments, and answers how far a learner is and why. Every call is also served "
        "under the gateway's form of its path: /v1/view/start is /api/view/v1/start as well."
    ),
    "PREPROCESSING_HOOKS": ["common.openapi.without_gateway_family"],
    "VERSION": VERSION,
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": [],
}

LOG_LEVEL = env.choice("VIEWER_LOG_LEVEL", "info", ("debug", "info", "warning", "error"))
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "common.logs.JsonFormatter"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["console"], "level": LOG_LEVEL.upper()},
    "loggers": {
        # The request log has its own line for each answer, and the error border logs each traceback once.
        "django.request": {"level": "CRITICAL"},
        "django.server": {"level": "CRITICAL"},
        # Tasks log one line of their own, and "no hostname" is what a broker of files looks like.
        "celery": {"level": "WARNING"},
        "kombu.connection": {"level": "ERROR"},
        "httpx": {"level": "WARNING"},  # would have a line for every call
        "cassandra": {"level": "WARNING"},
        "cassandra.io.libevreactor": {"level": "ERROR"},  # a busy machine ends its thread late, which harms nobody
    },
}
