"""Features as of the end of the data: of datasets for the bundle, of users for the snapshot."""
