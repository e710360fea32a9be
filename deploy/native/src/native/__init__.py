"""Runs the whole stack as native processes under supervisor: `python -m native --help`."""
