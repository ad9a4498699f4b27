"""From files or a database to a checked shop."""
