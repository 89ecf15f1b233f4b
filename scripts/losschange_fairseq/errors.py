"""The error that stops a training of this plug-in."""


class TrainingError(RuntimeError):
    """A training cannot continue; the message says at which update and what to do."""
