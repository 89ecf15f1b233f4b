"""Loss Change Allocation of a training that is over, from the checkpoints that it left.

`series` finds checkpoints and their update numbers, `stored` reads them, `matching` holds them
against the model, `texts` makes losses of texts, `walk` moves a model from one checkpoint to the
next, `quadrature` splits the way, and `record` writes what comes of it as a cube per text.
"""

from losschange.errors import CheckpointError

from .record import record_checkpoints

__all__ = ["CheckpointError", "record_checkpoints"]
