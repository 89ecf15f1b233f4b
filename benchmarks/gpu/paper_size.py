"""Last stage: one model of every objective at the paper's size, on real text, with all estimators.

Each has a third of the time that is left. The number of updates that fit is estimated from the
first updates of another training, which is discarded; the learning rate rises and falls within this
number. Cubes, summaries and settings are written as the workflow writes them: cubes/<model>.nc,
summaries/<model>.nc, models/<model>/settings.json and history.csv.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from .clock import Clock, OutOfTime
from .measuring import Training, new_folder
from .results import ResultLog
from .scales import FAST, MODELS, PROBES, Scale, configuration
from .stages import describe, give_memory_back

# Part of a model's time for building, validations, the cube and its summary: seconds, and a share.
ASIDE, ASIDE_SHARE = 6.0, 0.15
# Share of the time that is kept for the cube of a training that does not end in its time.
RESERVE = 0.05
# Number of records of the other estimators from which the time of an update is estimated.
RECORDS = 2
VALIDATIONS = 4


def run(scale: Scale, clock: Clock, log: ResultLog, inputs) -> None:
    """Write a record `model` for every objective, and its files.

    Raises
    ------
    ValueError
        If no folder of tokens was given, or it lacks those of a model.
    """
    if inputs.tokens is None:
        raise ValueError("no text: give --tokens a folder such as results/sample/tokens")
    folders = {objective: tokens_of(inputs.tokens, scale, objective) for objective in MODELS}
    for number, objective in enumerate(MODELS):
        share = (1 - RESERVE) * clock.left() / (len(MODELS) - number)
        limit = clock.part(share)
        values = {"objective": objective, "model": MODELS[objective]}
        try:
            with limit.enforced():
                values |= train(objective, folders[objective], scale, limit, inputs)
        except OutOfTime:
            values["reason"] = "its time was up"
        except Exception as error:
            values["reason"] = describe(error)
        if "reason" in values:
            with clock.enforced():
                values |= rescue(objective, inputs)
        log.add("paper_size", "model", **values)
        if not give_memory_back(scale):
            raise RuntimeError(f"the device is lost after {objective}")
        clock.check()


def tokens_of(tokens: Path, scale: Scale, objective: str) -> Path:
    """The folder of a model's token ids: of its own corpus, or of another one of its languages."""
    model = scale.model(objective)
    kinds = sorted(tokens.glob(f"*-en-de.{'-'.join(model.languages)}"))
    own = [folder for folder in kinds if folder.name == model.tokens]
    if not kinds:
        raise ValueError(f"{tokens} has no folder *-en-de.{'-'.join(model.languages)}")
    return (own or kinds)[0]


def train(objective: str, data: Path, scale: Scale, clock: Clock, inputs) -> dict:
    """Train a model for as many updates as fit; return the numbers of its record."""
    from losschange.analysis.summaries import summarise_cube, write_summary
    from training.run import train_model
    from training.state import Outputs

    model, start = scale.model(objective), time.monotonic()
    recording = scale.recording_settings(
        {"fresh": scale.stride, **dict.fromkeys(PROBES, scale.stride)}
    )
    seconds = seconds_per_update(objective, data, recording, scale, clock, inputs)
    left = (1 - ASIDE_SHARE) * clock.left() - ASIDE
    updates = max(2 * scale.stride, min(int(left / seconds), scale.most_updates))
    settings = settings_of(objective, scale, updates)
    execution = {
        **configuration().execution.model_dump(),
        "device": scale.device,
        "gpus": 1 if scale.cuda else 0,
        "data_workers": scale.data_workers,
        "validation_interval": max(1, updates // VALIDATIONS),
        "checkpoint_interval": max(1, updates // VALIDATIONS),
    }
    state = new_folder(inputs.cache, "paper-size", objective)
    paths = outputs(inputs.out, model.name)
    began = time.monotonic()
    train_model(
        model,
        settings,
        execution,
        recording,
        data,
        1,
        state,
        Outputs(paths["cube"], state.with_suffix(".pt"), paths["history"], paths["settings"]),
    )
    state.with_suffix(".pt").unlink(missing_ok=True)
    trained = time.monotonic() - began
    summary = summarise_cube(paths["cube"])
    paths["summary"].parent.mkdir(exist_ok=True)
    write_summary(summary, paths["summary"])
    return {
        "text": data.name,
        "updates": updates,
        "complete": True,
        "warmup_updates": settings["warmup_updates"],
        "seconds_per_update": seconds,
        "seconds_trained": trained,
        "seconds": time.monotonic() - start,
    }


def settings_of(objective: str, scale: Scale, updates: int) -> dict:
    """The model's settings, with a schedule of the learning rate for this number of updates."""
    warm_up = max(1, int(scale.warm_up_share * updates))
    return scale.training_of(objective, **FAST, total_updates=updates, warmup_updates=warm_up)


def seconds_per_update(objective, data, recording, scale: Scale, clock: Clock, inputs) -> float:
    """Seconds of an update with everything that is recorded, from the first ones."""
    training = Training(
        scale.model(objective),
        settings_of(objective, scale, scale.most_updates),
        data,
        new_folder(inputs.cache, "first", objective),
        scale.device,
        recording,
        scale.data_workers,
    )
    most = clock.left() / 10
    training.run(scale.stride, clock, most)
    seconds = training.run(RECORDS * scale.stride, clock, most).seconds
    training.close()
    give_memory_back(scale)
    return seconds


def outputs(out: Path, name: str) -> dict[str, Path]:
    """The files of a model."""
    return {
        "cube": out / "cubes" / f"{name}.nc",
        "summary": out / "summaries" / f"{name}.nc",
        "history": out / "models" / name / "history.csv",
        "settings": out / "models" / name / "settings.json",
    }


def rescue(objective: str, inputs) -> dict:
    """Make cube and summary from the saved parts of an unfinished training; return its numbers."""
    from losschange.analysis.summaries import summarise_cube, write_summary
    from losschange.cube.assembly import assemble_cube
    from losschange.cube.format import open_cube
    from losschange.cube.parts import PartStore

    state = inputs.cache / "trainings" / f"paper-size-{objective}"
    store, paths = PartStore(state / "parts"), outputs(inputs.out, MODELS[objective])
    updates = store.last_update()
    if updates:
        if not paths["cube"].exists():
            with open_cube(store.parts()[0][2]) as part:
                attributes = dict(part.attrs)
            assemble_cube(store, paths["cube"], updates, attributes)
        paths["summary"].parent.mkdir(exist_ok=True)
        write_summary(summarise_cube(paths["cube"]), paths["summary"])
    shutil.rmtree(state, ignore_errors=True)
    return {"updates": updates, "complete": False}
