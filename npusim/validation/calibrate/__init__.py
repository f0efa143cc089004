"""Hardware numbers fitted to what was measured: cases, a search, what can be told apart, the overlay file."""
