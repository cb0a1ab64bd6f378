"""What the hub costs, in ratios that one run measures: ``python -m benchmarks``."""
