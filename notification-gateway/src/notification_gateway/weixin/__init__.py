"""WeChat Work: application messages and group robots. Decisions are made by errcode, never by errmsg."""
