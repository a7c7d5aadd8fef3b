"""What every app shares: rows, ids, times, errors, the wire envelope and the caller's identity."""
