"""Measures the service against floors: bare servers that do the same durable write and nothing else.

`python -m bench --help` lists the options; docs/performance.md tells what the numbers mean.
"""
