"""Schedules and profiles that were made elsewhere, read and compared with simulations."""
