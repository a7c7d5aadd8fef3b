"""Kills and pauses every server and process during writes, and checks that no acknowledged write was lost or undone.

`python -m chaos --help` lists the options; README.md tells what is done and how to read the table.
"""
