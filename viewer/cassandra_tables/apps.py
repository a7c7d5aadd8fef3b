"""The app's place in Django."""

from django.apps import AppConfig


class CassandraTablesConfig(AppConfig):
    """Tables that `manage.py sync_cassandra` makes."""

    name = "viewer.cassandra_tables"
    label = "cassandra_tables"
    verbose_name = "Cassandra tables"
