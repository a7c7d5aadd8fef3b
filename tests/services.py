"""Where the servers listen that `scripts/services.sh` starts."""

import os

POSTGRES_URL = os.environ.get("VIEWER_TEST_POSTGRES_URL", "postgres://viewer:viewer@127.0.0.1:15432/viewer")
REDIS_PORT = os.environ.get("VIEWER_TEST_REDIS_PORT", "16380")
RABBITMQ_PORT = os.environ.get("VIEWER_TEST_RABBITMQ_PORT", "16672")
CASSANDRA_PORT = os.environ.get("VIEWER_TEST_CASSANDRA_PORT", "19042")
