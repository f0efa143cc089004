"""Plans of what the DPUs run."""
