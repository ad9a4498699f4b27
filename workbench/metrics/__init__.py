"""Metrics as lazy tables: Ibis expressions in, Ibis expressions out. Executes nothing."""
