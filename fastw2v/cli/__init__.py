"""The command line: thin click commands, options -> config -> one call -> printed result."""
