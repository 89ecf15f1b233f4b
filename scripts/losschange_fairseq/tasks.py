"""fairseq tasks that record Loss Change Allocation at every update.

Each is a stock fairseq task; only the moment of the optimizer's step is looked at.
"""

from dataclasses import dataclass, field
from typing import Optional

import torch
from fairseq.logging import metrics
from fairseq.tasks import register_task
from fairseq.tasks.language_modeling import LanguageModelingConfig, LanguageModelingTask
from fairseq.tasks.masked_lm import MaskedLMConfig, MaskedLMTask
from fairseq.tasks.translation import TranslationConfig, TranslationTask
from torch.distributed import get_rank, is_initialized

from losschange.cube.parts import PartStore
from losschange.recording.attachment import trainable_parameters
from losschange.recording.partition import partition_parameters
from losschange.recording.recorder import Recorder

from .fast.masking import draw_masks_once
from .fast.micro_batches import join_samples, passes_for
from .fast.stacks import use_fast_layers
from .initialisation import scale_initialisation
from .master_weights import MasterWeights
from .recording import RecordingSettings
from .schemas import schema_for


class RecordingTask:
    """Mixin: records every optimizer step of the task it is mixed into.

    Attributes
    ----------
    recorder : losschange.recording.recorder.Recorder or None
        None before the first update, when `--lca-parts` is not given, or in a data-parallel
        process other than the first, which alone records.
    passes : int or None
        How many make an update, once that is decided; a training that goes on keeps the number.
    """

    recorder = None
    passes = None
    _started = False
    _master_weights = None
    _describing = False

    @property
    def options(self):
        """The task's options; older tasks of fairseq keep them as `args` and leave `cfg` empty."""
        return self.args if self.cfg is None else self.cfg

    def build_model(self, *arguments, **options):
        """Build the stock model, started and run in another way where the options ask for it."""
        model = super().build_model(*arguments, **options)
        if self.options.depth_scaled_initialisation:
            scale_initialisation(model)
        if self.options.fast_layers:
            use_fast_layers(model, self.options.compile_layers)
        return model

    def build_criterion(self, *arguments, **options):
        """Build the criterion, with products in bfloat16 where the options ask for it."""
        criterion = super().build_criterion(*arguments, **options)
        if self.options.autocast:
            # The criterion runs the model in training, in validation and for probes alike.
            half = torch.autocast(self.options.autocast, dtype=torch.bfloat16)
            criterion.forward = half(criterion.forward)
        return criterion

    def train_step(self, sample, model, criterion, optimizer, update_num, *arguments, **options):
        """The stock step; recording starts with the first."""
        if self.options.lca_parts and not self._started:
            self.start_recording(optimizer, model, update_num, criterion)
        return super().train_step(
            sample, model, criterion, optimizer, update_num, *arguments, **options
        )

    def join_samples(self, samples, model) -> list:
        """The samples of an update in as many passes as the options ask for.

        Parameters
        ----------
        samples : list of fairseq samples
            As fairseq's own batches come.
        model : fairseq model
        """
        asked = self.options.micro_batches
        if asked == "stock" or len(samples) == 1:
            return samples
        if self.passes is None:
            # Decided once: the updates of a training are alike.
            self.passes = passes_for(model, samples) if asked == "auto" else int(asked)
        left = getattr(self.options, "left_pad_source", False)
        return join_samples(samples, self.passes, self.target_dictionary.pad(), left)

    def optimizer_step(self, optimizer, model, update_num):
        """Let the optimizer step, and allocate the loss change of that step."""
        if self.recorder is None:
            super().optimizer_step(optimizer, model, update_num)
            return
        weights = self._master_weights
        self._lr = optimizer.get_lr()
        scaler = getattr(optimizer, "scaler", None)
        self._loss_scale = 1.0 if scaler is None else scaler.loss_scale
        self.recorder.before_update(weights.parameters())
        super().optimizer_step(optimizer, model, update_num)
        self.recorder.after_update(weights.parameters(), weights.gradients(), weights.scale())
        self._describing = True

    def start_recording(self, optimizer, model, update_num, criterion, state=None) -> None:
        """Attach the recorder to the parameters that the optimizer moves.

        Parameters
        ----------
        optimizer, model, criterion : of fairseq
        update_num : int
            Updates made before.
        state : mapping, optional
            The recorder's state when these updates were made.

        Raises
        ------
        losschange.recording.partition.PartitionError
            Naming a trainable parameter that the schema of the architecture does not claim.
        losschange.cube.format.CubeError
            If the folder holds the parts of another training, or lacks parts of the updates
            before.
        """
        self._started = True
        if is_initialized() and get_rank() != 0:
            return
        while hasattr(model, "module"):
            model = model.module
        named = trainable_parameters(model)
        partition = partition_parameters(((name, p.shape) for name, p in named), schema_for(model))
        store = PartStore(self.options.lca_parts)
        self._master_weights = MasterWeights(optimizer, named)
        settings = RecordingSettings.parse(self.options.lca_recording)
        self.recorder = Recorder(
            partition,
            store,
            device=named[0][1].device,
            updates=update_num,
            **settings.measures(self, model, criterion, optimizer, partition),
        )
        # Last: it drops the parts that are later than the checkpoint.
        store.begin(partition.layout, update_num)
        self.recorder.load_state_dict(state or {})

    def finish_recording(self) -> None:
        """End the intervals that are open after the last update."""
        if self.recorder is not None:
            self.recorder.close(self._master_weights.parameters())

    def reduce_metrics(self, logging_outputs, criterion):
        """Report as the stock task does, and keep the sums of the update just recorded."""
        super().reduce_metrics(logging_outputs, criterion)
        if not self._describing:
            return
        self._describing = False
        sample_size = sum(log["sample_size"] for log in logging_outputs)
        # fairseq logs the norm right before this call; it is a tensor on the device.
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
        """Called for every checkpoint: what was recorded up to here goes to disk before it."""
        if self.recorder is not None:
            self.recorder.flush()
        return super().state_dict()


@dataclass
class RecordingConfig:
    """Options added to those of the stock task."""

    # fairseq reads the annotation itself and does not know the form `str | None`.
    lca_parts: Optional[str] = field(  # noqa: UP045
        default=None, metadata={"help": "folder for the parts of the LCA cube; off without it"}
    )
    lca_recording: Optional[str] = field(  # noqa: UP045
        default=None,
        metadata={"help": "estimators beside batch, as JSON: RecordingSettings of this plug-in"},
    )
    depth_scaled_initialisation: bool = field(
        default=False,
        metadata={"help": "scale residual branches at the start by their number"},
    )
    fast_layers: bool = field(
        default=False,
        metadata={"help": "layers without masks, attention weights and separate projections"},
    )
    # Workers kept from one epoch to the next would go on with the masks of the first.
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
    fast_bookkeeping: bool = field(
        default=False, metadata={"help": "settings, seeds and modes looked up once"}
    )
    compile_layers: bool = field(
        default=False, metadata={"help": "put the fast layers through torch.compile"}
    )
    autocast: Optional[str] = field(  # noqa: UP045
        default=None, metadata={"help": "cpu or cuda: products in bfloat16, the rest in float32"}
    )


@dataclass
class RecordingTranslationConfig(TranslationConfig, RecordingConfig):
    """Options of `lca_translation`."""


@dataclass
class RecordingLanguageModelingConfig(LanguageModelingConfig, RecordingConfig):
    """Options of `lca_language_modeling`."""


@dataclass
class RecordingMaskedLMConfig(MaskedLMConfig, RecordingConfig):
    """Options of `lca_masked_lm`."""


@register_task("lca_translation", dataclass=RecordingTranslationConfig)
class RecordingTranslation(RecordingTask, TranslationTask):
    """fairseq's translation task, recorded."""


@register_task("lca_language_modeling", dataclass=RecordingLanguageModelingConfig)
class RecordingLanguageModeling(RecordingTask, LanguageModelingTask):
    """fairseq's language_modeling task, recorded."""


@register_task("lca_masked_lm", dataclass=RecordingMaskedLMConfig)
class RecordingMaskedLM(RecordingTask, MaskedLMTask):
    """fairseq's masked_lm task, recorded."""

    def load_dataset(self, split, *arguments, **options):
        """Load a split."""
        super().load_dataset(split, *arguments, **options)
        if self.options.fast_bookkeeping:
            draw_masks_once(self.datasets[split])
