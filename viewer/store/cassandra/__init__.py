"""The store on Apache Cassandra: the learner's rows of a country.

Every statement reads or writes one partition. What SQL does in one transaction is one conditional batch here, because
a learner's rows and his marks share a partition; what spans partitions is written in an order that a crash at any
point leaves harmless (docs/decisions/0012).
"""

from viewer.store.cassandra.store import CassandraStore

__all__ = ["CassandraStore"]
