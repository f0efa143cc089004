"""Plans of what SHAVE kernels run."""
