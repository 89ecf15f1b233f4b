"""What goes wrong while recording."""


class RecordingError(RuntimeError):
    """The training did something that would make the recorded numbers wrong."""
