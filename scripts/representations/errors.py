"""What goes wrong when representations are measured."""


class RepresentationError(ValueError):
    """States, words or settings from which no right number can be made."""
