"""Scenarios: several programs as one answer, composed by one of the operators mix, split, together, rows and budget."""
