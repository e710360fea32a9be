"""WeChat Work: application messages and group robots, decided by errcode and never by errmsg."""
