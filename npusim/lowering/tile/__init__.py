"""How the part of one tile is cut into slices that fit its CMX."""
