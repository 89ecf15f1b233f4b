"""The record of an objective, with everything that differs between objectives.

Code outside this folder does not depend on the name of an objective. The workflow imports the
records for every job, so these modules import fairseq and torch only inside of functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from losschange.plots.looks import Look

if TYPE_CHECKING:
    from losschange.recording.partition import Schema

Training = Mapping[str, Any]
# Source and target language of a model; the same for a language model.
Languages = tuple[str, str]


@dataclass(frozen=True)
class Architecture:
    """The properties of a model that decide its number of parameters and operations.

    Attributes
    ----------
    encoder_layers, decoder_layers : int
        Where there are both, every decoder layer has cross-attention.
    embedding_matrices : int
        Matrices with a row per word, including the one before the softmax; tied ones count once.
    positions : tuple of int
        Number of learned positions of every stack that has them. Each of these stacks also has a
        norm of the embeddings.
    dense_head : bool
        Whether a dense layer, a norm and a bias stand before the softmax, as in RoBERTa.
    special_symbols : int
        Symbols in addition to those of the vocabulary.
    predicted_share : float
        Share of the tokens on the target side that are predicted.
    """

    encoder_layers: int
    decoder_layers: int
    embedding_matrices: int
    positions: tuple[int, ...] = ()
    dense_head: bool = False
    special_symbols: int = 0
    predicted_share: float = 1.0


@dataclass(frozen=True)
class Quality:
    """How the quality of a model of the objective is measured.

    Attributes
    ----------
    measure : str
        Name of the number in quality.json and in the report.
    meaning : str
        Explanation of the number.
    is_perplexity : bool
        Whether the number is exp(loss); else it is the loss itself.
    beats_copying : bool
        Whether the model sees some of the tokens that it predicts, so that it has learned only if
        its loss is below that of a model that copies them (`context_free` in quality.json).
    """

    measure: str
    meaning: str
    is_perplexity: bool = True
    beats_copying: bool = False


@dataclass(frozen=True)
class Objective:
    """One training objective.

    Attributes
    ----------
    name : str
        First part of the names of its models: "clm" of clm-en.
    description : str
        Name in words, such as "causal language model".
    look : Look
        Title, colour, marker and dash in figures.
    fairseq_task : str
        fairseq's task, or one that the plug-in adds; recorded, it is called `lca_<name>`.
    arguments : callable (training, languages) -> list of str
        Architecture, criterion and data of fairseq-train.
    schema : callable (model) -> Schema
        Assigns the parameters of a built fairseq model to the cells of the cube.
    architecture : callable (training) -> Architecture
        From it, parameters are counted before a model is built.
    quality : Quality
    filled : float
        Share of max_tokens that target tokens fill in a micro-batch; the rest is padding.
    translates : bool
        Whether a model has a source and a target language.
    sees_future : bool
        Whether the model sees text that comes after the token that it predicts.
    sample_tokens : callable (training) -> int
        Tokens that attend to each other in a sample.
    own_settings : tuple of str
        Keys of `training` that no other objective uses.
    mistakes : callable (training) -> iterable of str
        Yields a sentence for every mistake in the hyper-parameters that concerns this objective.
    """

    name: str
    description: str
    look: Look
    fairseq_task: str
    arguments: Callable[[Training, Languages], list[str]]
    schema: Callable[[Any], Schema]
    architecture: Callable[[Training], Architecture]
    quality: Quality
    filled: float = 1.0
    translates: bool = False
    sees_future: bool = False
    sample_tokens: Callable[[Training], int] = lambda training: int(training["tokens_per_sample"])
    own_settings: tuple[str, ...] = ()
    mistakes: Callable[[Training], Iterable[str]] = lambda training: ()

    @property
    def task(self) -> str:
        """Name of the recorded task, fairseq's option --task."""
        return f"lca_{self.name}"
