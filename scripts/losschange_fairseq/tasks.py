"""fairseq tasks that record Loss Change Allocation at every update.

There is one task per objective: a stock fairseq task that calls the recorder before and after the
optimizer's step.
"""

import json
from dataclasses import dataclass, field
from typing import Optional

import torch
from fairseq.logging import metrics
from fairseq.tasks import TASK_DATACLASS_REGISTRY, TASK_REGISTRY, register_task
from fairseq.tasks.masked_lm import MaskedLMTask
from torch.distributed import get_rank, is_initialized

from losschange.cube.frozen_cells import FrozenCells
from losschange.cube.parts import PartStore
from losschange.recording.freezing import CellValues
from losschange.recording.parameters import trainable_parameters
from losschange.recording.partition import partition_parameters
from losschange.recording.recorder import Recorder
from objectives import OBJECTIVES, Objective

from .fast.masking import draw_masks_once
from .fast.micro_batches import join_samples, passes_for
from .fast.stacks import use_fast_layers
from .head_mask import close_heads
from .initialisation import scale_initialisation
from .master_weights import MasterWeights
from .recording import RecordingSettings


class RecordingTask:
    """Mixin: records every optimizer step of the task it is mixed into.

    Attributes
    ----------
    objective : objectives.Objective
        The training objective of the task.
    recorder : losschange.recording.recorder.Recorder or None
        None before the first update, without `--lca-parts`, and in all data-parallel processes
        but the first: only the first one records.
    passes : int or None
        Passes per update; None before the first update. A resumed training keeps the number.
    """

    objective: Objective
    recorder = None
    passes = None
    _started = False
    _master_weights = None
    _frozen = None
    _frozen_values = None
    _describing = False

    @property
    def options(self):
        """The task's options; fairseq's older tasks store them in `args` and leave `cfg` empty."""
        return self.args if self.cfg is None else self.cfg

    def build_model(self, *arguments, **options):
        """Build the stock model; apply the options for initialisation, fast layers and heads."""
        model = super().build_model(*arguments, **options)
        if self.options.depth_scaled_initialisation:
            scale_initialisation(model)
        if self.options.fast_layers:
            use_fast_layers(model, self.options.compile_layers)
        if self.options.head_mask:
            close_heads(model, json.loads(self.options.head_mask))
        return model

    def load_dataset(self, split, *arguments, **options):
        """Load a split; with the option `fast_masking`, its masks are drawn once."""
        super().load_dataset(split, *arguments, **options)
        if self.options.fast_masking and isinstance(self, MaskedLMTask):
            draw_masks_once(self.datasets[split])

    def build_criterion(self, *arguments, **options):
        """Build the criterion; with the option `autocast`, matrix products are in bfloat16."""
        criterion = super().build_criterion(*arguments, **options)
        if self.options.autocast:
            # The criterion runs the model in training, in validation and for probes.
            half = torch.autocast(self.options.autocast, dtype=torch.bfloat16)
            criterion.forward = half(criterion.forward)
        return criterion

    def train_step(self, sample, model, criterion, optimizer, update_num, *arguments, **options):
        """Run fairseq's own step; the first call starts the recording."""
        if self.options.lca_parts and not self._started:
            self.start_recording(optimizer, model, update_num, criterion)
        return super().train_step(
            sample, model, criterion, optimizer, update_num, *arguments, **options
        )

    def join_samples(self, samples, model) -> list:
        """Join the micro-batches of an update into the number of passes that the options set."""
        asked = self.options.micro_batches
        if asked == "stock" or len(samples) == 1:
            return samples
        if self.passes is None:
            # Decide once: all updates of a training have batches of the same size.
            self.passes = passes_for(model, samples) if asked == "auto" else int(asked)
        left = getattr(self.options, "left_pad_source", False)
        return join_samples(samples, self.passes, self.target_dictionary.pad(), left)

    def optimizer_step(self, optimizer, model, update_num):
        """Let the optimizer step, and allocate the loss change of that step."""
        if self.recorder is None:
            self._step(optimizer, model, update_num)
            return
        weights = self._master_weights
        self._lr = optimizer.get_lr()
        scaler = getattr(optimizer, "scaler", None)
        self._loss_scale = 1.0 if scaler is None else scaler.loss_scale
        self.recorder.before_update(weights.parameters())
        self._step(optimizer, model, update_num)
        self.recorder.after_update(weights.parameters(), weights.gradients(), weights.scale())
        self._describing = True

    def _step(self, optimizer, model, update_num) -> None:
        """One step of the optimizer; frozen cells keep their values."""
        frozen = self._frozen is not None and update_num >= self._frozen.from_update
        if frozen:
            self._frozen_values.keep(self._master_weights.moved_by_step())
        super().optimizer_step(optimizer, model, update_num)
        if frozen:
            self._frozen_values.put_back(self._master_weights.moved_by_step())

    def start_recording(self, optimizer, model, update_num, criterion, state=None) -> None:
        """Attach the recorder to the parameters that the optimizer moves.

        Parameters
        ----------
        optimizer, model, criterion : of fairseq
        update_num : int
            Number of updates made so far.
        state : mapping, optional
            The recorder's state after these updates.

        Raises
        ------
        losschange.recording.partition.PartitionError
            If the schema of the architecture has no rule for a trainable parameter; names it.
        losschange.cube.layout.CubeError
            If the folder holds the parts of another training, or lacks parts of the updates
            before.
        """
        self._started = True
        # Every process freezes cells, only the first one records.
        records = not is_initialized() or get_rank() == 0
        if not records and not self.options.frozen_cells:
            return
        while hasattr(model, "module"):
            model = model.module
        named = trainable_parameters(model)
        partition = partition_parameters(
            ((name, p.shape) for name, p in named), self.objective.schema(model)
        )
        self._master_weights = MasterWeights(optimizer, named)
        if self.options.frozen_cells:
            self._frozen = FrozenCells.read(self.options.frozen_cells)
            device = named[0][1].device
            self._frozen_values = CellValues(partition, self._frozen.cells, device)
        if not records:
            return
        store = PartStore(self.options.lca_parts)
        settings = RecordingSettings.parse(self.options.lca_recording)
        self.recorder = Recorder(
            partition,
            store,
            device=named[0][1].device,
            updates=update_num,
            **settings.measures(self, model, criterion, optimizer, partition),
        )
        # Destructive: it deletes parts later than the checkpoint, so it runs after all checks.
        store.begin(partition.layout, update_num)
        self.recorder.load_state_dict(state or {})

    def finish_recording(self) -> None:
        """Close the intervals of probes that are open after the last update."""
        if self.recorder is not None:
            self.recorder.close(self._master_weights.parameters())

    def reduce_metrics(self, logging_outputs, criterion):
        """Log the same metrics as the stock task, and record the sums of this update."""
        super().reduce_metrics(logging_outputs, criterion)
        if not self._describing:
            return
        self._describing = False
        sample_size = sum(log["sample_size"] for log in logging_outputs)
        # fairseq logs the gradient norm just before this call; it is a tensor on the device.
        norm = next((a["gnorm"] for a in metrics.get_active_aggregators() if "gnorm" in a), None)
        self.recorder.describe_update(
            loss=sum(log["loss"] for log in logging_outputs) / sample_size,
            tokens=sum(log["ntokens"] for log in logging_outputs),
            sample_size=sample_size,
            lr=self._lr,
            grad_norm=float("nan") if norm is None else norm.val,
            loss_scale=self._loss_scale,
        )

    def state_dict(self):
        """State for a checkpoint; all records so far are first written to disk."""
        if self.recorder is not None:
            self.recorder.flush()
        return super().state_dict()


@dataclass
class RecordingConfig:
    """Options added to those of the stock task."""

    # fairseq parses the annotation itself and does not support the form `str | None`.
    lca_parts: Optional[str] = field(  # noqa: UP045
        default=None, metadata={"help": "folder for the parts of the LCA cube; off without it"}
    )
    lca_recording: Optional[str] = field(  # noqa: UP045
        default=None,
        metadata={"help": "estimators beside batch, as JSON: RecordingSettings of this plug-in"},
    )
    frozen_cells: Optional[str] = field(  # noqa: UP045
        default=None, metadata={"help": "file of cells that do not learn, and from which update"}
    )
    depth_scaled_initialisation: bool = field(
        default=False,
        metadata={"help": "scale residual branches at the start by their number"},
    )
    fast_layers: bool = field(
        default=False,
        metadata={"help": "layers without masks, attention weights and separate projections"},
    )
    # Data-loading workers that persist across epochs would repeat the masks of the first epoch.
    reuse_dataloader: bool = field(
        default=False, metadata={"help": "keep the processes that read from epoch to epoch"}
    )
    persistent_workers: bool = field(
        default=False, metadata={"help": "keep the processes that read from epoch to epoch"}
    )
    micro_batches: str = field(
        default="stock",
        metadata={"help": "passes that make an update: a number, auto, or stock for update-freq"},
    )
    fast_masking: bool = field(
        default=False, metadata={"help": "draw the masks of a masked language model once"}
    )
    compile_layers: bool = field(
        default=False, metadata={"help": "put the fast layers through torch.compile"}
    )
    # The mask itself, not its file: so it is stored in the checkpoint and applies wherever the
    # checkpoint is loaded.
    head_mask: Optional[str] = field(  # noqa: UP045
        default=None, metadata={"help": "closed heads as JSON: {attention: [[0 or 1, ...], ...]}"}
    )
    autocast: Optional[str] = field(  # noqa: UP045
        default=None, metadata={"help": "cpu or cuda: products in bfloat16, the rest in float32"}
    )


def register_recording_task(objective: Objective) -> type:
    """Register an objective's task with recording as `lca_<objective>` with fairseq.

    Parameters
    ----------
    objective : Objective

    Raises
    ------
    KeyError
        If fairseq has no task with the name that the objective gives.
    """
    stock = TASK_REGISTRY[objective.fairseq_task]
    stock_config = TASK_DATACLASS_REGISTRY[objective.fairseq_task]
    name = "".join(part.title() for part in objective.name.split("_"))
    config = dataclass(
        type(
            f"Recording{name}Config",
            (stock_config, RecordingConfig),
            {"__doc__": f"Options of `{objective.task}`.", "__module__": __name__},
        )
    )
    task = type(
        f"Recording{name}",
        (RecordingTask, stock),
        {
            "__doc__": f"fairseq's {objective.fairseq_task} task, recorded.",
            "__module__": __name__,
            "objective": objective,
        },
    )
    return register_task(objective.task, dataclass=config)(task)


for _objective in OBJECTIVES.values():
    register_recording_task(_objective)
