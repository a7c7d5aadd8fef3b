"""Runs a worker alone, for hosts that serve no requests: what `config.run` starts beside the server.

    python -m config.worker

Exits 0 after SIGINT or SIGTERM, with the task in hand finished, and 2 when the configuration is refused. It waits for
its broker and its database as long as it takes.
"""

import io
import os
import sys

import django
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.core.management.base import SystemCheckError

from config.run import Child, supervise, worker_command


def main() -> int:
    """The exit code."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        django.setup()
        call_command("check", stdout=io.StringIO())
    except (ImproperlyConfigured, SystemCheckError, CommandError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return supervise([Child("worker", worker_command(), restarts=True)])


if __name__ == "__main__":
    sys.exit(main())
