"""Which axis of an op the tiles share."""
