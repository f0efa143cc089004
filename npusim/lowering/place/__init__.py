"""Which engine runs a node, with which plan, and what neighbours have to do with it."""
