"""Figures and tables of the study; see variants.py for what it trains.

N1: the paper's Figure 1 in three parts. N2: noise against the batch. N3: noise scale over training.
N4: causal and masked language models with equal targets. Tables: NS sums, NC the study's claims,
N the paper's claims part by part.
"""

from __future__ import annotations

from collections.abc import Iterable

from running.run_files import RunFiles
from running.study import Illustration, Inputs, Study


def studied_models(files: RunFiles) -> list[str]:
    """The models of `noise.models` that this run trains."""
    return [name for name in files.configuration.noise.models if name in files.models]


def models(files: RunFiles) -> Inputs:
    """The models themselves, without their variants."""
    return _of(files, studied_models(files))


def models_and_variants(files: RunFiles) -> Inputs:
    """The models and all their variants."""
    return _of(files, [*studied_models(files), *files.variants("noise")])


def _of(files: RunFiles, names: Iterable[str]) -> Inputs:
    trainings = files.trainings(names)
    return {
        "summaries": files.summaries(names),  # the report names the models by them
        "records": [f"{files.results}/noise/{name}.nc" for name in trainings],
    }


def paper_claims(files: RunFiles) -> Inputs:
    """The paper's claims, judged part by part."""
    return {"claims": [f"{files.results}/noise/paper_claims.json"]}


def vocabulary(files: RunFiles) -> dict[str, int]:
    """Number of symbols."""
    return {"vocabulary": files.configuration.vocabulary.size}


STUDY = Study(
    name="noise",
    title="Signal, curvature and noise",
    figures=(
        Illustration("N1", models, vocabulary),
        Illustration("N2", models_and_variants, vocabulary),
        Illustration("N3", models_and_variants, vocabulary),
        Illustration("N4", models_and_variants, vocabulary),
    ),
    tables=(
        Illustration("NS", models_and_variants, vocabulary),
        Illustration("NC", models_and_variants, vocabulary),
        Illustration("N", paper_claims),
    ),
    order=5,
    section="section",
)
