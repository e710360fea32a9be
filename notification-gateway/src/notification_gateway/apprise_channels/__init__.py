"""Channels by Apprise: DingTalk, Feishu, Slack, Telegram and many others."""
