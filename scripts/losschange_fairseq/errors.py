"""What stops a training of this plug-in."""


class TrainingError(RuntimeError):
    """A training that cannot go on; the message says at which update and what to do."""
