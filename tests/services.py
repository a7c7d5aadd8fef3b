"""Where the servers listen that `scripts/services.sh` starts, and what a run of tests has of them.

VIEWER_TEST_LANE: 0 or 1, for two runs at once (scripts/suite.sh). Each lane has three databases of Redis and a virtual
host of RabbitMQ, so that no worker of one takes the other's tasks; databases and keyspaces bear the run's process id.
"""

import os

POSTGRES_URL = os.environ.get("VIEWER_TEST_POSTGRES_URL", "postgres://viewer:viewer@127.0.0.1:15432/viewer")
REDIS_PORT = os.environ.get("VIEWER_TEST_REDIS_PORT", "16380")
RABBITMQ_PORT = os.environ.get("VIEWER_TEST_RABBITMQ_PORT", "16672")
LANE = int(os.environ.get("VIEWER_TEST_LANE", "0"))
RABBITMQ_URL = f"amqp://viewer:viewer@127.0.0.1:{RABBITMQ_PORT}/{('/', 'lane1')[LANE]}"
CASSANDRA_PORT = os.environ.get("VIEWER_TEST_CASSANDRA_PORT", "19042")


def redis_url(number: int) -> str:
    """The lane's Redis database of this number, 1 to 3."""
    return f"redis://127.0.0.1:{REDIS_PORT}/{3 * LANE + number}"
