"""The dashboard: open incidents, deliveries, digests and charts. All its assets come from the gateway."""
