"""Costs: what one task takes, with its provenance."""
