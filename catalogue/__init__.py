"""What there is to learn and who learns: collections and their hierarchies, batches, programs, profiles."""
