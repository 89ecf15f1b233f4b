"""Losses of a trained model on the probes of its training, for each row of a sample.

A model can also be rewound: some of its cells are put back to their values in a snapshot.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from common.files import UserError
from losschange.cube.layout import Cell
from losschange.errors import RecordingError
from losschange.recording.freezing import CellValues
from losschange.recording.parameters import trainable_parameters
from losschange.recording.partition import partition_parameters
from losschange_fairseq.probes import SampleSource

from .loading import load_snapshot
from .trained_model import TrainedModelHandle

# A fairseq sample.
Sample = Mapping[str, Any]


class ProbedModel:
    """A trained model and the probes that were drawn for its training.

    Parameters
    ----------
    checkpoint : path
    data : path
        Folder of token ids.
    seed : int
        Of the training.
    tokens : int
        Of each probe.
    max_tokens : int
        Of a batch, as in the training.

    Attributes
    ----------
    handle : TrainedModelHandle
    """

    def __init__(self, checkpoint: Path, data: Path, seed: int, tokens: int, max_tokens: int):
        self.handle = TrainedModelHandle(checkpoint, data)
        self._draw = {"seed": seed, "max_tokens": max_tokens}
        self._tokens = tokens

    def probe(self, split: str) -> list[Sample]:
        """The samples of the probe of a split.

        Raises
        ------
        UserError
            If there is no such split, or none of its samples is short enough.
        """
        try:
            source = SampleSource(self.handle.task, split, self.handle.module, **self._draw)
            return source.draw(self._tokens, source.probe_key)
        except RecordingError as error:
            raise UserError(str(error)) from error

    def row_losses(self, samples: Sequence[Sample]) -> tuple[np.ndarray, np.ndarray]:
        """Sums of losses (rows,) in nats, without dropout, and numbers of target tokens (rows,)."""
        losses, tokens = [], []
        for sample in samples:
            output = self.handle.losses(sample)
            losses.append(output.losses.double().sum(-1).cpu().numpy())
            tokens.append(output.predicted.sum(-1).cpu().numpy())
        return np.concatenate(losses), np.concatenate(tokens)

    def take_weights(self, checkpoint: Path) -> None:
        """Replace the model's weights by those of a checkpoint of the same architecture."""
        other = TrainedModelHandle(checkpoint, self.handle.task.options.data)
        self.handle.module.load_state_dict(other.module.state_dict())

    @torch.no_grad()
    def rewound(self, snapshot: Path) -> Iterator[tuple[int, str, list[Cell]]]:
        """Put each component of each layer back to its values in a snapshot, one at a time.

        Parameters
        ----------
        snapshot : path

        Yields
        ------
        (layer, component, cells)
            While the model has the snapshot's values in these cells, all others unchanged.
        """
        module = self.handle.module
        named = trainable_parameters(module)
        schema = self.handle.task.objective.schema(module)
        partition = partition_parameters(((n, p.shape) for n, p in named), schema)
        present = [parameter for _, parameter in named]
        final = [parameter.detach().clone() for parameter in present]
        load_snapshot(module, snapshot)
        initial = [parameter.detach().clone() for parameter in present]
        for parameter, value in zip(present, final, strict=True):
            parameter.copy_(value)
        groups: dict[tuple[int, str], list[Cell]] = {}
        for cell in partition.layout.cells:
            groups.setdefault((cell.layer, cell.component), []).append(cell)
        for (layer, component), cells in groups.items():
            values = CellValues(partition, cells, self.handle.device)
            values.keep([initial])
            values.put_back([present])
            yield layer, component, cells
            values.keep([final])
            values.put_back([present])
