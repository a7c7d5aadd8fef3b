"""Wiring only: settings, routes and the processes. Nothing imports this package but Django and the shell."""
