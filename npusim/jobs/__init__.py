"""Whole jobs, as a user names them: a model and a machine in, a result that shows, saves and tabulates itself out."""
