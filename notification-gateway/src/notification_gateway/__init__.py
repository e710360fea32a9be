"""notification-gateway: turns alert signals into WeChat Work messages, emails and a dashboard."""
