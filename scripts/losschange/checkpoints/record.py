"""From a series of checkpoints to a cube of each text."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from losschange.cube.assembly import assemble_cube
from losschange.errors import CheckpointError
from losschange.recording.partition import Schema, partition_parameters
from losschange.schemas import schema_for

from .intervals import IntervalStore
from .matching import check_series
from .models import load_tokenizer, make_model, match_names, objective_of
from .progress import Progress
from .quadrature import Evaluation, simpson, trapezoid
from .series import Checkpoint, find_checkpoints
from .texts import OBJECTIVES, Source, Text, make_text
from .walk import Walk

# Nats an interval: a tenth of what Lan et al. (2019) allow a whole update.
TOLERANCE = 1e-4
MOST_EVALUATIONS = 65
CONTEXT = 512
BATCH_TOKENS = 4096


def record_checkpoints(
    checkpoints: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    texts: Source | Mapping[str, Source],
    output: str | os.PathLike[str],
    *,
    updates: Sequence[int] | None = None,
    model: torch.nn.Module | str | os.PathLike[str] | None = None,
    tokenizer: Any = None,
    schema: Schema | None = None,
    objective: str | None = None,
    tolerance: float = TOLERANCE,
    most_evaluations: int = MOST_EVALUATIONS,
    context: int = CONTEXT,
    batch_tokens: int = BATCH_TOKENS,
    seed: int = 0,
    device: torch.device | str = "cpu",
    attributes: Mapping[str, object] | None = None,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Path]:
    """Allocate the loss change between the checkpoints of a training that is over.

    Between two checkpoints the parameters are taken to move straight. The cube of a text has a
    record per interval, at the update number of its end, under "probe" (trapezoid rule) and
    "simpson" (Simpson's rule on pieces that are halved until their errors are small), with the loss
    at both ends, the error, and the number of evaluations of the text. There is no "batch", because
    single updates are not known.

    What was recorded is kept, interval by interval, in `output`/parts: call it again with the same
    settings after an interruption, and it goes on.

    Parameters
    ----------
    checkpoints : path, or sequence of path
        Folders of Hugging Face, files of safetensors or of torch.save, in the order of training; or
        one folder that holds them all.
    texts : source, or mapping of name to source
        See `losschange.checkpoints.texts.make_text`; without names it is called "text".
    output : path
        Folder of the cubes: <name>.nc for each text.
    updates : sequence of int, optional
        Update numbers, rising; without them, those in the names of the checkpoints.
    model : torch.nn.Module or path, optional
        A model of the checkpoints' architecture, whose weights are then overwritten; or a
        configuration of Hugging Face. Needed where the first checkpoint has no config.json.
    tokenizer : object or path, optional
        For texts in files; without it, that in the first checkpoint's folder.
    schema : Schema, optional
        That of `schema_for` if nothing is given.
    objective : {"causal", "masked"}, optional
        That of the model's class if nothing is given.
    tolerance : float
        Nats: an interval is split for Simpson's rule until the sum of its pieces' absolute errors
        is at most this.
    most_evaluations : int
        Between the ends of an interval, 1 or more.
    context, batch_tokens : int
        Tokens of a sequence and of a batch.
    seed : int
        Of hidden words.
    device : torch device
    attributes : mapping, optional
        Further global attributes of the cubes, such as {"model": ...}.
    progress : callable (line), optional
        Called with a line after each interval: what was done, and the time left.

    Returns
    -------
    mapping of name to Path
        The cubes.

    Raises
    ------
    CheckpointError
        Checkpoints that are missing, damaged, of several architectures, or whose numbers do not
        rise; a text of another vocabulary; parts of other checkpoints or settings in `output`; no
        space left. What was recorded before stays.
    PartitionError
        If the schema does not fit the model.
    """
    _check_settings(tolerance, most_evaluations, context, batch_tokens, seed)
    series = find_checkpoints(checkpoints, updates)
    check_series(series)
    net = _placed(_model_for(model, series[0]), device)
    for parameter in net.parameters():
        if not parameter.is_floating_point():
            parameter.requires_grad_(False)
    named = [(name, p.shape) for name, p in net.named_parameters() if p.requires_grad]
    schema = schema or schema_for(net)
    partition = partition_parameters(named, schema)
    names, opener = match_names(net, series)
    made = _texts(texts, net, tokenizer, objective, series[0], (context, batch_tokens, seed))
    about = {
        "model": getattr(getattr(net, "config", None), "model_type", type(net).__name__),
        **(attributes or {}),
        "tolerance": tolerance,
        "most_evaluations": most_evaluations,
        "checkpoints": len(series),
        "start_update": series[0].update,
    }
    output = Path(output)
    settings = [tolerance, most_evaluations, str(schema), list(schema.stacks)]
    stores = {
        text.name: IntervalStore(
            output / "parts" / text.name,
            partition.layout,
            {**about, "text": text.name, "text_tokens": text.tokens},
            hashlib.sha256(json.dumps([*settings, text.digest]).encode()).hexdigest(),
        )
        for text in made
    }
    with IntervalStore.locked(output):
        for store in stores.values():
            store.begin(series)
        walk = Walk(net, partition, names, opener)
        del net
        _record(walk, series, made, stores, (tolerance, most_evaluations), Progress(progress))
        cubes = {name: output / f"{name}.nc" for name in stores}
        for name, store in stores.items():
            with store.writing(cubes[name]):
                assemble_cube(
                    store.parts,
                    cubes[name],
                    series[-1].update,
                    store.attributes,
                    series[0].update,
                )
    return cubes


def _record(
    walk: Walk,
    series: Sequence[Checkpoint],
    texts: Sequence[Text],
    stores: Mapping[str, IntervalStore],
    limits: tuple[float, int],
    progress: Progress,
) -> None:
    """Record every interval that the stores do not hold yet."""
    pairs = list(zip(series, series[1:]))
    missing = [[t for t in texts if not stores[t.name].holds(*pair)] for pair in pairs]
    progress.begin(sum(map(bool, missing)), len(pairs))
    starts: dict[str, Evaluation] = {}
    for number, ((start, end), todo) in enumerate(zip(pairs, missing)):
        if not todo:
            continue
        for text in todo:
            if text.name not in starts:
                walk.stand(start)
                loss = walk.evaluate(text)
                starts[text.name] = Evaluation(0.0, loss, walk.slopes_towards(end))
        walk.stand(start)
        walk.go(end)
        ends, following = {}, {}
        for text in todo:
            ends[text.name] = Evaluation(1.0, *walk.evaluate_with_slopes(text))
            if number + 1 < len(pairs) and text in missing[number + 1]:
                slopes = walk.slopes_towards(pairs[number + 1][1])
                following[text.name] = Evaluation(0.0, ends[text.name].loss, slopes)
        for text in todo:
            _record_text(walk, text, (start, end), starts, ends, stores, limits, progress)
        starts = following
        progress.end_interval()


def _record_text(
    walk: Walk,
    text: Text,
    pair: tuple[Checkpoint, Checkpoint],
    starts: Mapping[str, Evaluation],
    ends: Mapping[str, Evaluation],
    stores: Mapping[str, IntervalStore],
    limits: tuple[float, int],
    progress: Progress,
) -> None:
    """Integrate one text over one interval, and write its part."""

    def evaluate(share: float) -> Evaluation:
        walk.move(share)
        return Evaluation(share, *walk.evaluate_with_slopes(text))

    # Load the end again: moving back and forth rounds, and another text may have moved the model.
    walk.stand(pair[1])
    first, last = starts[text.name], ends[text.name]
    whole = simpson(evaluate, first, last, *limits)
    stores[text.name].write(*pair, first.loss, last.loss, trapezoid(first, last), whole)
    progress.tell(pair, text.name, last.loss - first.loss, whole, limits[0])


def _check_settings(
    tolerance: float, most_evaluations: int, context: int, batch_tokens: int, seed: int
) -> None:
    """Raise CheckpointError for the first setting that makes no sense."""
    for name, value, least in (
        ("most_evaluations", most_evaluations, 1),
        ("context", context, 2),
        ("batch_tokens", batch_tokens, 1),
        ("seed", seed, 0),
    ):
        if value < least:
            raise CheckpointError(f"{name} is {value}; it must be {least} or more")
    if not tolerance >= 0:
        raise CheckpointError(f"the tolerance is {tolerance}; it must be 0 nats or more")


def _model_for(
    model: torch.nn.Module | str | os.PathLike[str] | None, first: Checkpoint
) -> torch.nn.Module:
    if isinstance(model, torch.nn.Module):
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and parameter.dtype != torch.float32:
                raise CheckpointError(
                    f"{name} of the model is {parameter.dtype}; give it in float32: model.float()"
                )
        return model
    if model is None and first.config is None:
        raise CheckpointError(
            f"{first} has no config.json, so its architecture is not known; give the model, or a "
            "configuration"
        )
    return make_model(first.path if model is None else Path(model))


def _placed(model: torch.nn.Module, device: torch.device | str) -> torch.nn.Module:
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as error:
        said = str(error).splitlines()[0]
        raise CheckpointError(f"the model cannot be put on the device {device} ({said})") from None


def _texts(
    texts: Source | Mapping[str, Source],
    model: torch.nn.Module,
    tokenizer: Any,
    objective: str | None,
    first: Checkpoint,
    sizes: tuple[int, int, int],
) -> list[Text]:
    named = dict(texts) if isinstance(texts, Mapping) else {"text": texts}
    if not named:
        raise CheckpointError("no text was given")
    for name in named:
        if not name or not all(letter.isalnum() or letter in "-_." for letter in name):
            raise CheckpointError(f"{name!r} names a file; use letters, digits, - and _")
    files = [s for s in named.values() if isinstance(s, str | os.PathLike)]
    if isinstance(tokenizer, str | os.PathLike):
        tokenizer = load_tokenizer(Path(tokenizer))
    elif tokenizer is None and files and _has_tokenizer(first.path):
        tokenizer = load_tokenizer(first.path)
    if objective is None:
        ids = [source for source in named.values() if not callable(source)]
        objective = objective_of(model) if ids else "causal"
    if objective not in OBJECTIVES:
        raise CheckpointError(f"the objective is {objective!r}; allowed: {', '.join(OBJECTIVES)}")
    context, batch_tokens, seed = sizes
    longest = getattr(getattr(model, "config", None), "max_position_embeddings", None)
    context = min(context, longest or context)
    return [
        make_text(name, source, model, tokenizer, objective, context, batch_tokens, seed)
        for name, source in named.items()
    ]


def _has_tokenizer(folder: Path) -> bool:
    return any((folder / n).is_file() for n in ("tokenizer.json", "tokenizer_config.json"))
