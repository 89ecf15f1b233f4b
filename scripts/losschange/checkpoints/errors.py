"""What goes wrong with a series of checkpoints."""


class CheckpointError(ValueError):
    """A checkpoint, a text or a setting from which no right cube can be made."""
