"""A model made ready for its checkpoints: from their configuration, or the user's own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from losschange.errors import CheckpointError

from .matching import NameMap
from .series import Checkpoint
from .stored import StoredTensors, held

ADAPTER_CONFIG = "adapter_config.json"


def import_transformers() -> Any:
    """The package transformers.

    It imports torchaudio wherever that is installed, and nothing here is about sound: where it
    does not load (one for CUDA beside a PyTorch for CPUs), it is left out.
    """
    try:
        import_module("torchaudio")
    except Exception:
        sys.modules["torchaudio"] = None  # type: ignore[assignment]
    try:
        import transformers
    except ImportError as error:
        raise CheckpointError(
            f"models and tokenizers of Hugging Face need the package transformers ({error})"
        ) from None
    return transformers


def make_model(place: Path, weights: bool = True) -> nn.Module:
    """A model of Hugging Face in float32 from a configuration, with random weights.

    Parameters
    ----------
    place : path
        A config.json or its folder; or an adapter_config.json of PEFT or its folder, which names
        the folder of the model that has the adapters.
    weights : bool
        Without, it has names and shapes alone (PyTorch's device "meta"), at any size at once.

    Raises
    ------
    CheckpointError
        If there is no configuration, or it is of no known model.
    """
    adapter = place / ADAPTER_CONFIG if place.is_dir() else place
    if adapter.name == ADAPTER_CONFIG and adapter.is_file():
        return _make_adapted(adapter.parent, weights)
    transformers = import_transformers()
    try:
        config = transformers.AutoConfig.from_pretrained(str(place), local_files_only=True)
        names = getattr(config, "architectures", None) or []
        cls = getattr(transformers, names[0], None) if names else None
        with torch.device("cpu" if weights else "meta"):
            make = transformers.AutoModelForCausalLM.from_config if cls is None else cls
            model = make(config)
    except Exception as error:  # unknown kinds and missing files fail in ways of their own
        said = str(error).splitlines()[0]
        raise CheckpointError(f"no model can be made from {place} ({said})") from None
    if hasattr(model, "generation_config"):
        config.use_cache = False
    found: nn.Module = model.float()
    return found


def _make_adapted(folder: Path, weights: bool) -> nn.Module:
    """A model with the adapters of PEFT that a folder configures, which are trained."""
    import_transformers()
    try:
        import peft
    except ImportError as error:
        raise CheckpointError(
            f"{folder / ADAPTER_CONFIG} needs the package peft ({error})"
        ) from None
    try:
        config = peft.PeftConfig.from_pretrained(str(folder), local_files_only=True)
        base = make_model(Path(str(config.base_model_name_or_path)), weights)
        config.inference_mode = False
        with torch.device("cpu" if weights else "meta"):
            model: nn.Module = peft.get_peft_model(base, config)
    except CheckpointError:
        raise
    except Exception as error:  # PEFT's own errors are of many kinds
        said = str(error).splitlines()[0]
        raise CheckpointError(f"no adapters can be made from {folder} ({said})") from None
    return model


def objective_of(model: nn.Module) -> str:
    """Whether a model predicts hidden words ("masked") or the next one ("causal"), by its class.

    Raises
    ------
    CheckpointError
        If it does neither.
    """
    name = type(model).__name__
    if "MaskedLM" in name or "PreTraining" in name:
        return "masked"
    if getattr(getattr(model, "config", None), "is_encoder_decoder", False):
        raise CheckpointError(
            f"a {name} reads pairs of texts; give record_checkpoints a function (model) -> loss "
            "for each text"
        )
    return "causal"


def load_tokenizer(place: Path) -> Any:
    """The tokenizer in a folder, or of a file tokenizer.json."""
    transformers = import_transformers()
    try:
        if place.is_file():
            return transformers.PreTrainedTokenizerFast(tokenizer_file=str(place))
        return transformers.AutoTokenizer.from_pretrained(str(place), local_files_only=True)
    except Exception as error:
        said = str(error).splitlines()[0]
        raise CheckpointError(f"{place} holds no tokenizer that can be read ({said})") from None


class ConvertedTensors(StoredTensors):
    """The tensors of a folder that transformers has to convert: the whole model is in memory.

    Parameters
    ----------
    checkpoint : Checkpoint
    kind : type
        Class of the model.
    """

    def __init__(self, checkpoint: Checkpoint, kind: Any):
        super().__init__(checkpoint)
        self._kind = kind

    def __enter__(self) -> ConvertedTensors:
        try:
            loaded, report = self._kind.from_pretrained(
                str(self.checkpoint.path),
                local_files_only=True,
                output_loading_info=True,
                dtype=torch.float32,
            )
        except Exception as error:  # transformers fails in many ways
            said = str(error).splitlines()[0]
            raise CheckpointError(f"{self.checkpoint} cannot be loaded ({said})") from None
        if report["missing_keys"] or report["mismatched_keys"]:
            wrong = sorted(map(str, [*report["missing_keys"], *report["mismatched_keys"]]))
            raise CheckpointError(
                f"{self.checkpoint} does not fit a {self._kind.__name__}: {', '.join(wrong[:3])} "
                "missing or of another shape"
            )
        tensors = loaded.state_dict()
        self.shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        self._readers = {name: partial(held, tensor) for name, tensor in tensors.items()}
        return self


Opener = Callable[[Checkpoint], StoredTensors]


def match_names(model: nn.Module, series: Sequence[Checkpoint]) -> tuple[NameMap, Opener]:
    """Where the model's parameters stand in the checkpoints of a series, and how to open these.

    Raises
    ------
    CheckpointError
        If the checkpoints do not fit the model.
    """
    first = series[0]
    with StoredTensors(first) as stored:
        names = NameMap(model, stored.shapes, _renamed(model, stored.shapes))
    if names.complete:
        return names, StoredTensors
    if first.path.is_dir() and hasattr(type(model), "from_pretrained") and not names.wrong:
        with ConvertedTensors(first, type(model)) as converted:
            names = NameMap(model, converted.shapes)
        if names.complete:
            return names, partial(ConvertedTensors, kind=type(model))
    raise CheckpointError(names.complaint(first))


def _renamed(model: nn.Module, stored: Iterable[str]) -> dict[str, str]:
    """Stored names by those that this version of transformers gives them, as it loads them."""
    if not hasattr(model, "base_model_prefix"):
        return {}
    try:
        from transformers.conversion_mapping import get_model_conversion_mapping
        from transformers.core_model_loading import WeightRenaming
    except ImportError:
        return {}
    hugging_face: Any = model
    changes = [
        c for c in get_model_conversion_mapping(hugging_face) if isinstance(c, WeightRenaming)
    ]
    found = {}
    for name in stored:
        new = name
        for change in changes:
            new = change.rename_source_key(new)[0]
        found[new] = name
    return found
