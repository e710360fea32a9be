"""Delivery: claims what is due, sends it through its channel, and decides what an outcome means."""
