"""What can be wrong with the models, texts and numbers that are given."""


class HeadsError(ValueError):
    """What was given cannot be analysed; the message says why and what to do."""


class HiddenHeadsError(HeadsError):
    """The model does not show its attention weights or the outputs of its heads."""


class TreebankError(HeadsError):
    """A treebank cannot be read or does not belong to the text."""
