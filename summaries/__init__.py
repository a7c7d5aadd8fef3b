"""What a learner is shown: enrolments and summaries. Reads what `viewer` wrote; writes no progress itself."""
