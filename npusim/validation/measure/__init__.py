"""Measurements: taking them on a real NPU, their file, and reading those and benchmark_app's."""
