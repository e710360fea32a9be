"""Actions on an incident: acknowledge, assign, comment, close, reopen, group; by API, dashboard or signed link."""
