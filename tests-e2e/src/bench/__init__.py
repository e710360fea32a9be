"""Benchmarks behind the product's claims about cost: ratios, measured side by side in one run."""
