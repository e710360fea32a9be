"""Redis, PostgreSQL and the collector as processes of this machine: their programs, commands and ports."""
