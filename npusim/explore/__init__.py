"""Questions that need many simulations: which rewrites pay, which hardware is best, what each number is worth."""
