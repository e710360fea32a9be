"""What the DAGs share. Their files are parsed again and again, so only tasks import the package `pipeline`."""
