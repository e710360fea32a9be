"""The runbook of each monitoring point as a page: what it means, what to do, and what closed it before."""
