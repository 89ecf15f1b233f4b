"""Representation spaces of the run's models, beside the loss change of the same layers."""
