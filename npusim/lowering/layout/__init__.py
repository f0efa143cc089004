"""How values lie in memory: the order of their dimensions, and who writes into whose storage."""
