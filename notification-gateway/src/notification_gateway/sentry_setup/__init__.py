"""Sets up a Sentry server from the alert policy: projects, keys, workflows that call the gateway, dashboards."""
