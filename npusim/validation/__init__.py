"""Validation: references, predictions of them, scores, and schedules or profiles that were made elsewhere."""
