"""What goes wrong while recording, and with a series of checkpoints."""


class RecordingError(RuntimeError):
    """The training did something that would make the recorded numbers wrong."""


class CheckpointError(ValueError):
    """A checkpoint, a text or a setting from which no right cube can be made."""


class ExplorerError(ValueError):
    """Cubes of which no page to explore them in can be made."""
