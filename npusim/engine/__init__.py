"""Engines: a Program and its Prices in, a Timeline out."""
