"""Model versions, bundles, deployments and rollback."""
