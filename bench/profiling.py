"""Where the time of one kind of call goes: the service's own WSGI application, called in this process.

    python -m bench --profile end

The calls run twice: first without the profiler, for the time a call takes, then with it, for who takes it. The
profile counts this thread's processor time, so that what else runs on the machine does not show; what a call waits for
(a database of its own process, the disk) is the difference between wall and processor time.
"""

import cProfile
import io
import os
import pstats
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from bench.load import BenchFailed
from bench.measures import MEASURES, Measure

TOP = 25
# Whose time the layers' table tells: the end of a file's path, and its functions. One may contain another.
LAYERS = (
    ("middleware and all below", "common/middleware.py", ("__call__",)),
    ("request log's line", "logging/__init__.py", ("info",)),
    ("DRF and all below", "rest_framework/views.py", ("dispatch",)),
    ("body to input", "common/wire.py", ("body_fields", "to_input")),
    ("service and all below", "viewer/services.py", ("record",)),
    ("store: one event", "viewer/store/orm.py", ("apply",)),
    ("store: rows of a context", "viewer/store/folds.py", ("sources",)),
    ("status map beside a write", "viewer/statusmap/writing.py", ("__init__", "finish", "close")),
    ("status map: a look", "viewer/statusmap/lookup.py", ("look",)),
    ("waking the worker", "viewer/tasks.py", ("wake",)),
    ("statements", "django/db/backends/utils.py", ("execute",)),
    ("facts of the contents", "viewer/progress.py", ("content_facts",)),
    ("items of the answer", "viewer/reading.py", ("_item",)),
    ("rendering", "common/envelope.py", ("render",)),
)
Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def main() -> int:
    """`python -m bench.profiling KIND N FIRST`, in the environment of a prepared tier; the exit code."""
    kind, calls, first = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from config.wsgi import application  # noqa: PLC0415 - reads the environment

    measure = next(one for one in MEASURES if one.name == kind)
    call = _caller(application, measure)
    for number in range(first, first + calls // 10):
        call(number)
    wall, cpu = time.perf_counter(), time.thread_time()
    for number in range(first + calls, first + 2 * calls):
        call(number)
    used = (time.perf_counter() - wall) / calls * 1e6, (time.thread_time() - cpu) / calls * 1e6
    sys.stdout.write(f"{kind}: {used[0]:.0f} µs a call of which processor {used[1]:.0f}, without the profiler\n")
    profiler = cProfile.Profile(time.thread_time)
    profiler.enable()
    for number in range(first + 2 * calls, first + 3 * calls):
        call(number)
    profiler.disable()
    _tell_layers(pstats.Stats(profiler), used[1])
    for order in ("cumulative", "tottime"):
        pstats.Stats(profiler, stream=sys.stdout).strip_dirs().sort_stats(order).print_stats(TOP)
    return 0


def _tell_layers(stats: Any, cpu: float) -> None:
    """Each layer's share of the profiled time, and what that is of the `cpu` µs of a call without the profiler."""
    total = max(entry[3] for entry in stats.stats.values())
    for label, ending, functions in LAYERS:
        spent = sum(
            entry[3] for (file, _, name), entry in stats.stats.items() if file.endswith(ending) and name in functions
        )
        if spent:
            sys.stdout.write(f"  {label:26} {spent / total:5.0%} {spent / total * cpu:6.0f} µs\n")


def _caller(application: Application, measure: Measure) -> Callable[[int], None]:
    """Sends call number n to the application. The call raises BenchFailed for any answer but 200."""

    def call(number: int) -> None:
        answered: list[str] = []
        body = measure.body(number) if measure.body else b""
        environ = _environ(measure, number, body)
        chunks = b"".join(application(environ, lambda status, _headers, *_: answered.append(status)))
        if not answered[0].startswith("200"):
            raise BenchFailed(f"{measure.name} {number}: {answered[0]} {chunks[:200]!r}")

    return call


def _environ(measure: Measure, number: int, body: bytes) -> dict[str, Any]:
    """What the server program would hand over."""
    return {
        "REQUEST_METHOD": "POST" if measure.body else "GET",
        "PATH_INFO": measure.path.format(number % 100),
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "127.0.0.1",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.url_scheme": "http",
        "wsgi.version": (1, 0),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }


if __name__ == "__main__":
    sys.exit(main())
