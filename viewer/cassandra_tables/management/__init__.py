"""Commands for the Cassandra tables."""
