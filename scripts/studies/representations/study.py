"""Representation spaces of the run's models, and the loss change beside their change.

S1 isotropy, S2 contextuality, S3 layers of two models, S4 information on input and output,
S5 change and influence by frequency, S6 neighbours, S7 loss change above the change of states over
training, S8 alignment.
"""

from __future__ import annotations

from running.run_files import RunFiles
from running.study import Illustration, Inputs, Study

from .spaces import described_models, main_models, pairs


def _of_main(files: RunFiles, folder: str) -> list[str]:
    names = (model.name for model in main_models(files.configuration))
    return [f"{files.results}/{folder}/{name}.nc" for name in files.trainings(names)]


def main_spaces(files: RunFiles) -> Inputs:
    """Descriptions of the main models."""
    return {"spaces": _of_main(files, "spaces")}


def all_spaces(files: RunFiles) -> Inputs:
    """Descriptions of the main models and of the same in the matched architecture."""
    names = [model.name for model in described_models(files.configuration)]
    return {"spaces": [f"{files.results}/spaces/{name}.nc" for name in files.trainings(names)]}


def spaces_and_hidden_words(files: RunFiles) -> Inputs:
    """Descriptions of the main models, and what needed them with words hidden."""
    return {
        "spaces": _of_main(files, "spaces"),
        "hidden": _of_main(files, "hidden_words"),
    }


def comparisons(files: RunFiles) -> Inputs:
    """Comparisons of the main models, and of what differs from them in language or seed."""
    names = [model.name for model in main_models(files.configuration)]
    main = files.trainings(names)
    found: dict[str, list[str]] = {"objectives": [], "languages": [], "seeds": []}
    for pair in pairs(files):
        if pair.first in main:
            found[pair.kind].append(f"{files.results}/comparisons/{pair.name}.nc")
    return found


def over_training(files: RunFiles) -> Inputs:
    """Comparisons of the snapshots of the main models, and of their seeds as the scale."""
    return {
        "snapshots": _of_main(files, "over_training"),
        "seeds": comparisons(files)["seeds"],
    }


STUDY = Study(
    name="representations",
    title="Representation spaces",
    figures=(
        Illustration("S1", all_spaces),
        Illustration("S2", main_spaces),
        Illustration("S3", comparisons),
        Illustration("S4", spaces_and_hidden_words),
        Illustration("S5", spaces_and_hidden_words),
        Illustration("S6", main_spaces),
        Illustration("S7", over_training),
        Illustration("S8", comparisons),
    ),
    order=40,
    section="section",
)
