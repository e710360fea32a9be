"""Email by SMTP: summaries, and urgent alerts when WeChat is down."""
