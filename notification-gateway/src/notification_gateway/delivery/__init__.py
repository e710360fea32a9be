"""Delivery: claims due notifications, sends them through their channels, and retries or fails over."""
