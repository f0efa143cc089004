"""What a caller can do wrong."""

from __future__ import annotations


class PipelineError(ValueError):
    """A pipeline that cannot be read; the message is one line and suggests what may have been meant."""


class CannotRun(ValueError):
    """A model that OpenVINO's CPU plugin cannot run on the inputs at hand; the message is one line."""


class ModelsDiffer(ValueError):
    """Two models that cannot be compared, for their inputs or outputs differ; the message says how."""
