"""Attaching the recorder to a training loop of plain PyTorch.

    recorder = attach(model, optimizer, schema, "parts", probes={"train": probe_loss})
    ...                                  # the training loop as it was
    recorder.finish("cube.nc")

The optimizer's own hooks tell when it steps, so nothing in the loop changes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from losschange.cube.estimators import TRAIN
from losschange.cube.parts import PartStore
from losschange.cube.word_bins import WordBins

from .checks import check_attributes, check_kinds, check_quadrature, check_shared
from .following import AttachedRecorder
from .heads import check_declared_heads
from .measures import FreshGradient, FreshLoss, Loss, ProbeLoss
from .optimizers import check_optimizers, stepping_optimizer
from .parameters import check_recordable, fingerprint, trainable_parameters, unwrap_model
from .partition import Schema, partition_parameters
from .recorder import Recorder
from .shards import find_shards
from .shared_store import SharedStore
from .watching import Watcher


def attach(
    model: torch.nn.Module,
    optimizer: Any,
    schema: Schema | None = None,
    folder: str | os.PathLike[str] = "parts",
    estimators: Mapping[str, int] | Iterable[str] = ("batch",),
    probes: Mapping[str, Loss] | None = None,
    fresh: FreshLoss | Mapping[str, FreshLoss] | None = None,
    details: Mapping[str, Sequence[str]] | None = None,
    word_bins: WordBins | None = None,
    quadrature: str = "adaptive",
    simpson_tolerance: float | None = None,
    updates: int = 0,
    state: Mapping[str, Mapping[str, Any]] | None = None,
    attributes: Mapping[str, object] | None = None,
    gradient_scale: float | Callable[[], float | Tensor] = 1.0,
    watchers: Sequence[Watcher] = (),
) -> AttachedRecorder:
    """Record every step of an optimizer from now on.

    Parameters
    ----------
    model : torch.nn.Module
        Its trainable parameters are recorded, tied ones once; all float32 and on one device. The
        module itself, or torch.compile's or DistributedDataParallel's wrapper of it: with data
        parallelism, only the process of rank 0 records. Of a model divided by `fully_shard`
        (FSDP2), every process records its rows and the first writes: call all methods in all
        processes, and save and give each its own state.
    optimizer : torch.optim.Optimizer, or a sequence of them
        Moves the parameters with one gradient a step. Anything with `step` and `param_groups`
        will do, and accelerate's wrapper. Several, such as Muon for matrices and AdamW for the
        rest, step one after the other for the same loss; together they make an update. One that
        steps less often than others must step after them.
    schema : Schema, optional
        Which parameter belongs to which cell. Without it, that of `losschange.schema_for(model)`.
    folder : path
        Folder for the parts of the cube: empty, or that of the training to resume.
    estimators : mapping of name to stride, or iterable of names
        Names of losschange.cube.estimators; stride = updates between two records, 1
        without it.
    probes : mapping of text to callable (model) -> loss
        Loss of a batch that never changes, in nats per target token. Called without dropout. In
        a model divided by `fully_shard`, the mean over the processes counts. Running statistics
        (batch normalisation) change it as well, which is in no cell.
    fresh : callable (model, update) -> loss, or mapping of text to such callables
        Loss of a batch newly drawn for that update. Called with dropout. A callable alone is that
        of the training text.
    details : mapping of estimator to sequence of str
        Some of "positive", "helped", "vocabulary".
    word_bins : WordBins, optional
    quadrature : {"adaptive", "fixed"}
        Whether intervals are split for Simpson's rule until its error is small: at most 1 % of the
        interval's loss change, or `simpson_tolerance`.
    simpson_tolerance : float, optional
        Nats.
    updates : int
        Updates made before: those of the checkpoint that training resumes from.
    state : mapping, optional
        Return value of `AttachedRecorder.save` at that checkpoint.
    attributes : mapping, optional
        Global attributes of the cube, texts or numbers, such as {"model": ..., "objective": ...}.
    gradient_scale : float or callable
        Factor that turns gradients into those of the mean loss, if it is not 1. A function is
        called when the optimizer gets its gradients. GradScaler's factor is not part of it.
    watchers : sequence of Watcher
        Shown sums per layer and component while the training runs, such as those of
        losschange.adapters.tensorboard and losschange.adapters.weights_and_biases.

    Raises
    ------
    RecordingError
        If a trainable parameter is not float32 or is divided otherwise than by `fully_shard`, no
        optimizer holds it or one holds what the model does not have, an optimizer needs several
        gradients a step, an estimator is unknown or lacks its probe, an attribute is no text or
        number, or `state` is of another number of processes.
    CubeError
        If the folder holds another training, model or schema, another recording writes to it, or
        nothing can be written there.
    PartitionError
        If no rule or several rules of the schema match a parameter, or if its number of heads is
        not the model's; names the parameter.
    """
    check_kinds(model, schema, estimators, {"probes": probes or {}})
    optimizers = [*optimizer] if isinstance(optimizer, list | tuple) else [optimizer]
    optimizers = [stepping_optimizer(one) for one in optimizers]
    model = unwrap_model(model)
    named = trainable_parameters(model)
    check_recordable(model, named)
    shards = find_shards(named)
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    if distributed and shards is None and torch.distributed.get_rank() != 0:
        return AttachedRecorder(model, named, optimizers, None, gradient_scale)
    check_optimizers(named, optimizers)
    check_attributes(attributes or {})
    tolerance = check_quadrature(quadrature, simpson_tolerance)
    strides = dict(estimators) if isinstance(estimators, Mapping) else dict.fromkeys(estimators, 1)
    if fresh is None or isinstance(fresh, Mapping):
        fresh_losses = dict(fresh or {})
    else:
        fresh_losses = {TRAIN: fresh}
    if schema is None:
        from losschange.schemas import schema_for  # which imports this package

        schema = schema_for(model)
    partition = partition_parameters(((name, p.shape) for name, p in named), schema)
    check_declared_heads(model, partition)
    parameters = [parameter for _, parameter in named]
    store = PartStore(folder)
    if shards is not None:
        check_shared(shards, word_bins, state or {})
        store, partition = SharedStore(folder, shards), shards.part_of(partition)
        watchers = watchers if shards.rank == 0 else ()
    measured = model, parameters
    recorder = Recorder(
        partition,
        store,
        parameters[0].device,
        updates,
        attributes,
        strides,
        {text: ProbeLoss(*measured, loss, shards) for text, loss in (probes or {}).items()},
        {text: FreshGradient(*measured, loss, shards) for text, loss in fresh_losses.items()},
        details,
        word_bins,
        tolerance,
        None if shards is None else shards.add_up,
    )
    attached = AttachedRecorder(
        model, named, optimizers, recorder, gradient_scale, watchers, shards
    )
    try:
        # Destructive, so it runs last: nothing is lost when something above is refused.
        run = ((state or {}).get("run") or {}).get("id")
        store.claim(partition.layout, updates, run, fingerprint(parameters, shards))
        recorder.load_state_dict(state or {})
        if probes:
            attached.reliability.look_at_model(model)
    except BaseException:
        attached.detach()
        raise
    return attached
