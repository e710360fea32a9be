"""Measurements that the product's claims about cost rest on: ratios, taken side by side in one run."""
