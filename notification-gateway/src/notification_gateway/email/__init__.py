"""Email by SMTP: for summaries, and for urgent alerts while WeChat is down."""
