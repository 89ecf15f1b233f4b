"""fairseq tasks that record Loss Change Allocation at every update.

Each is a stock fairseq task; only the moment of the optimizer's step is looked at.
"""

from dataclasses import dataclass, field
from typing import Optional

from fairseq.logging import metrics
from fairseq.tasks import register_task
from fairseq.tasks.language_modeling import LanguageModelingConfig, LanguageModelingTask
from fairseq.tasks.masked_lm import MaskedLMConfig, MaskedLMTask
from fairseq.tasks.translation import TranslationConfig, TranslationTask

from losschange.partition import partition_parameters
from losschange.parts import PartStore
from losschange.recorder import Recorder, RecordingError

from .initialisation import scale_initialisation
from .master_weights import MasterWeights
from .schemas import schema_for


class RecordingTask:
    """Mixin: records every optimizer step of the task it is mixed into.

    Attributes
    ----------
    recorder : losschange.recorder.Recorder or None
        None before the first update, or when `--lca-parts` is not given.
    """

    recorder = None
    _master_weights = None
    _updates_before = 0
    _describing = False

    @property
    def _options(self):
        # Older tasks of fairseq keep their options as `args` and leave `cfg` empty.
        return self.args if self.cfg is None else self.cfg

    def build_model(self, *arguments, **options):
        """Build the stock model, with another initialisation where the options ask for it."""
        model = super().build_model(*arguments, **options)
        if self._options.depth_scaled_initialisation:
            scale_initialisation(model)
        return model

    def optimizer_step(self, optimizer, model, update_num):
        """Let the optimizer step, and allocate the loss change of that step."""
        if not self._options.lca_parts:
            super().optimizer_step(optimizer, model, update_num)
            return
        if self.recorder is None:
            self.start_recording(optimizer, model, update_num)
        weights = self._master_weights
        self._lr = optimizer.get_lr()
        scaler = getattr(optimizer, "scaler", None)
        self._loss_scale = 1.0 if scaler is None else scaler.loss_scale
        self.recorder.before_update(weights.parameters())
        super().optimizer_step(optimizer, model, update_num)
        self.recorder.after_update(weights.parameters(), weights.gradients(), weights.scale())
        self._describing = True

    def start_recording(self, optimizer, model, update_num) -> None:
        """Attach the recorder to the parameters that the optimizer moves.

        Raises
        ------
        losschange.partition.PartitionError
            Naming a trainable parameter that the schema of the architecture does not claim.
        losschange.recorder.RecordingError
            If a training starts from zero and the folder holds the parts of another one.
        losschange.cube.CubeError
            If it goes on from a checkpoint and the folder lacks parts of the updates before.
        """
        store = PartStore(self._options.lca_parts)
        if update_num == 0 and store.parts():
            raise RecordingError(
                f"{store.folder} holds the parts of another training; give an empty folder"
            )
        store.drop_after(update_num)
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        partition = partition_parameters(((name, p.shape) for name, p in named), schema_for(model))
        self._master_weights = MasterWeights(optimizer, named)
        self.recorder = Recorder(
            partition,
            store,
            device=named[0][1].device,
            updates=update_num,
        )

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
    depth_scaled_initialisation: bool = field(
        default=False,
        metadata={"help": "scale residual branches at the start by their number"},
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
