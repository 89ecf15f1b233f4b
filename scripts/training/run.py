"""Train one model until its end or until it is stopped, and move its results to their place."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch

from common.files import UserError, replace_when_complete
from losschange import RECORDING_VERSION
from losschange.cube.assembly import assemble_cube
from losschange.cube.layout import CubeError
from losschange.errors import RecordingError
from losschange.recording.partition import PartitionError
from losschange_fairseq.errors import TrainingError
from losschange_fairseq.training import DutyIntervals, ResumableTraining
from running.models import Model
from running.slurm import seconds_left
from running.stopping import StopRequest, tries_left
from text.provenance import cube_provenance

from .devices import choose_device
from .fairseq_arguments import fairseq_arguments
from .faster_ways import decide_ways, run_settings
from .fingerprint import fingerprint_of
from .progress import ProgressLine
from .snapshots import Snapshots
from .start import start_from_parent
from .state import Outputs, TrainingState
from .workers import Worker

# Written to every cube with the values that ran: settings that the configuration can leave open
# (such as "auto"), and settings that are not part of the fingerprint.
AS_RUN = (
    *("device", "workers", "threads", "precision", "micro_batches", "attention_kernel"),
    "faster_ways",
)
PACKAGES = {"torch": "torch", "fairseq": "fairseq-fixed", "numpy": "numpy", "netCDF4": "netCDF4"}


class Interrupted(UserError):
    """The training was asked to stop and has saved its state."""


def train_model(
    model: Model,
    training: Mapping[str, Any],
    execution: Mapping[str, Any],
    recording: Mapping[str, Any],
    data: Path,
    seed: int,
    state_folder: Path,
    outputs: Outputs,
    provenance: Path | None = None,
    worker: Worker | None = None,
    kept: Mapping[str, Any] | None = None,
    files: Mapping[str, Path] | None = None,
) -> None:
    """Train a model and record its cube; resumes a training that was stopped.

    Parameters
    ----------
    model : Model
    training : mapping
        Fields of running.configuration.Training.
    execution : mapping
        Fields of running.configuration.Execution. `threads` is the number per worker; on a CPU,
        the same number gives a bit-identical cube.
    recording : mapping
        The settings from running.configuration_recording.Recording.settings.
    data : path
        Folder of token ids.
    seed : int
    state_folder : path
        Kept when this process ends early; removed when all outputs are complete.
    outputs : Outputs
    provenance : path, optional
        The sources of the text, for the cube's attributes; see text.provenance. It is not part of
        the fingerprint, because no number depends on it.
    worker : Worker, optional
        Which of several processes this is; all call this function with the same arguments.
    kept : mapping, optional
        Arguments of training.snapshots.Snapshots: `updates`, `resume_points`, `precision`. They
        are not part of the fingerprint: an unfinished training can resume with other values.
    files : mapping of str to path, optional
        Further files that a variant reads, by name; see running.variants. Their contents are part
        of the fingerprint.

    Raises
    ------
    UserError
        If training cannot continue; says at which update, why, and what to do.
    """
    worker = worker or Worker()
    torch.set_num_threads(execution["threads"])
    limit = seconds_left()
    stop = StopRequest(limit)
    origin = {"provenance": cube_provenance(provenance, model.tokens)} if provenance else {}
    device = choose_device(str(execution["device"]), worker.count)
    arguments = partial(
        fairseq_arguments,
        model,
        data=data,
        seed=seed,
        device=device,
        recording=recording,
        worker=(worker.rank, worker.count),
        data_workers=execution["data_workers"],
        files=files,
    )
    arguments(training)  # Raise errors in the settings before waiting for other processes.
    intervals = DutyIntervals(
        training["total_updates"],
        execution["validation_interval"],
        execution["checkpoint_interval"],
    )
    if not worker.writes:
        with _expected_errors(model):
            worker.join(device)
            stock = worker.agreed(lambda: False)()
            run = ResumableTraining(
                arguments(run_settings(training, stock)), state_folder, intervals
            )
            run.run(lambda update, numbers: None, worker.agreed(stop))
            worker.leave()
        return
    fingerprint = fingerprint_of(model, seed, training, recording, data, files or {})
    snapshots = Snapshots(state_folder, **(kept or {}))
    with TrainingState(state_folder, fingerprint) as state, _expected_errors(model):
        worker.join(device)
        alone = partial(arguments, recording=None, worker=(0, 1), data_workers=0)
        ways = decide_ways(model, training, device, state_folder, alone)
        start_from_parent(state_folder, files or {}, recording)
        worker.agreed(lambda: ways.stock)()
        run = ResumableTraining(
            arguments(run_settings(training, ways.stock)),
            state_folder,
            intervals,
            state.save_history,
            _model_attributes(model),
            snapshots,
        )
        state.start_history(run.updates)
        first = run.updates
        _say_start(model, run, limit)
        stop.start()
        asked = worker.agreed(lambda: stop() or state.lost)
        if not run.run(_reporter(model, training, run, state), asked):
            left = training["total_updates"] - run.updates
            raise Interrupted(
                f"{model.name} was stopped at update {run.updates} of "
                f"{training['total_updates']} and saved, because "
                f"{stop.reason or 'another worker was asked to'}; run the same "
                f"again to go on. So far {run.updates - first} updates in this try: about "
                f"{tries_left(left, run.updates - first)} more like it to the end"
            )
        ran = {"device": device, "workers": worker.count, "threads": execution["threads"]}
        ran["faster_ways"] = ways.said
        snapshots.put_in_place(outputs.checkpoint.parent)
        ran["text_normalisation"] = _text_normalisation(data)
        _put_in_place(model, training, run, state, outputs, fingerprint, ran, origin)
        state.remove()
    worker.leave()


@contextmanager
def _expected_errors(model: Model) -> Iterator[None]:
    """Add the name of the model to errors of the plug-in and of the recorder."""
    try:
        yield
    except (TrainingError, RecordingError, PartitionError, CubeError) as error:
        raise UserError(f"{model.name}: {error}") from error
    except torch.OutOfMemoryError as error:
        # The plug-in reports the update in which memory ran out. This error came before the first
        # update or in validation.
        raise UserError(
            f"{model.name}: the GPU has no memory left ({str(error).splitlines()[0]}). Is another "
            "program on it? Otherwise lower max_tokens and raise update_frequency by the same "
            "factor, or record fewer estimators. The last checkpoint is kept"
        ) from error


def _put_in_place(model, training, run, state, outputs, fingerprint, ran, origin) -> None:
    settings = {
        "model": model.name,
        "objective": model.objective,
        "configured": dict(training),
        "as_run": {**run.settings_as_run(), **ran},
        "versions": _versions(),
        "parameters": sum(run.task.recorder.partition.layout.n_parameters),
    }
    attributes = {**_cube_attributes(model, settings, fingerprint), **origin}
    assemble_cube(run.store, outputs.cube, run.updates, attributes)
    with replace_when_complete(outputs.checkpoint) as temporary:
        run.save_model(temporary)
    state.copy_history(outputs.history)
    with replace_when_complete(outputs.settings) as temporary:
        temporary.write_text(json.dumps(settings, indent=1, sort_keys=True) + "\n")


def _cube_attributes(model: Model, settings: Mapping, fingerprint: Mapping) -> dict[str, object]:
    configuration = json.dumps(fingerprint, sort_keys=True).encode()
    return {
        **_model_attributes(model),
        "tokens_digest": fingerprint["tokens"],
        "configuration_digest": hashlib.sha256(configuration).hexdigest(),
        "recording_version": RECORDING_VERSION,
        **{name: settings["as_run"][name] for name in AS_RUN},
        "seed": fingerprint["seed"],
        **_recording_attributes(fingerprint["recording"]),
        "versions": ", ".join(f"{name} {v}" for name, v in sorted(settings["versions"].items())),
    }


def _model_attributes(model: Model) -> dict[str, object]:
    return {
        "title": f"Loss Change Allocation of {model.name}",
        "model": model.name,
        "objective": model.objective,
        "source_language": model.source,
        "target_language": model.target,
        "corpus": model.corpus,
        "architecture": model.architecture,
    }


def _recording_attributes(recording: Mapping) -> dict[str, object]:
    strides = {"batch": 1, **recording["estimators"]}
    return {
        "estimators": ", ".join(name for name, stride in strides.items() if stride),
        "estimator_strides": ", ".join(f"{n} {stride}" for n, stride in strides.items() if stride),
        "probe_tokens": recording["probe_tokens"],
        "fresh_tokens": recording["fresh_tokens"],
        "simpson_tolerance": recording["simpson_tolerance"] or 0.0,
        **{
            f"text_{name}": _describe_text(text)
            for name, text in recording.get("texts", {}).items()
        },
    }


def _describe_text(text: Mapping) -> str:
    tokens = dict(text.get("tokens") or {})
    if "classes" in tokens:
        tokens["classes"] = Path(tokens["classes"]).name
    counted = ", ".join(f"{name} {value}" for name, value in tokens.items())
    return f"split {text['split']}; counted tokens: {counted or 'all'}"


def _reporter(model, training, run, state) -> Callable[[int, dict], None]:
    progress = ProgressLine(model.name, training["total_updates"], run.updates)

    def report(update: int, numbers: dict) -> None:
        state.add_update(update, numbers["loss"], numbers["tokens"])
        shown = progress.advance(update, numbers["loss"], numbers["tokens"])
        if shown is not None:
            state.write_progress(shown)

    return report


def _say_start(model: Model, run: ResumableTraining, limit: float | None) -> None:
    line = f"{model.name}: goes on after update {run.updates:,}" if run.updates else model.name
    if limit is not None:
        line += f"; {limit / 60:,.0f} minutes until the time limit of its job"
    print(f"{line}; GPUs: {os.environ.get('CUDA_VISIBLE_DEVICES', 'not set')}", file=sys.stderr)
    for split, (left_out, samples) in run.left_out().items():
        if left_out:
            print(
                f"{model.name}: {left_out} of {samples} samples of {split} are longer than "
                "max_tokens or than the model's positions, and are left out",
                file=sys.stderr,
            )


def _text_normalisation(data: Path) -> str | None:
    """How the text was normalised before it was cut into pieces; None if it is not recorded."""
    record = data / "tokens.json"
    return json.loads(record.read_text()).get("normalisation") if record.exists() else None


def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(package) for name, package in PACKAGES.items()}
