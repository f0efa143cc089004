"""What passes of lowering hand to each other: values and their layout over the tiles, nodes, plans."""
