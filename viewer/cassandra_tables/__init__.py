"""The Cassandra tables of the learner's state: an app of its own, installed only where the store is Cassandra."""
