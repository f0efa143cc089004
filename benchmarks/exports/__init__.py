"""Architectures exported as people have them, and what npusim makes of each: python -m benchmarks.exports."""
