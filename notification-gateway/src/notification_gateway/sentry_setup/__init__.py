"""Sets up a real Sentry server from the same policy: projects, keys, workflows that call the gateway, dashboards."""
