"""What an objective is: everything that is particular to it, in one record.

Nothing outside this folder asks for an objective by name. The workflow imports the records for
every job, so these modules import fairseq and torch only inside of functions.
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
    """What a model is made of, as far as its parameters and its arithmetic depend on it.

    Attributes
    ----------
    encoder_layers, decoder_layers : int
        Where there are both, every decoder layer has cross-attention.
    embedding_matrices : int
        Matrices with a row per word, that before the softmax among them; tied ones count once.
    positions : tuple of int
        Learned positions of every stack that has them; a norm of the token vectors goes with each.
    dense_head : bool
        Whether a dense layer, a norm and a bias stand before the softmax, as in RoBERTa.
    special_symbols : int
        Words beside those of the vocabulary.
    predicted_share : float
        Of the tokens that the model reads on the target side.
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
    """What a model of the objective is measured by.

    Attributes
    ----------
    measure : str
        Name of the number in quality.json and in the report.
    meaning : str
        The same in a sentence.
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
        Begins the names of its models: "clm" of clm-en.
    description : str
        In words.
    look : Look
        Title, colour, marker and dash in figures.
    fairseq_task : str
        fairseq's task, or one that the plug-in adds; recorded, it is called `lca_<name>`.
    arguments : callable (training, languages) -> list of str
        Architecture, criterion and data of fairseq-train.
    schema : callable (model) -> Schema
        Which parameter of a built fairseq model belongs to which cell of the cube.
    architecture : callable (training) -> Architecture
        How its parameters are counted before a model is built.
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
        What is wrong with hyper-parameters for this objective alone, a sentence each.
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
