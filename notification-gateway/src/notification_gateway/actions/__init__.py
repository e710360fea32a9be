"""What people do with an incident: acknowledge, assign, comment, close, reopen, put under another; by API or link."""
