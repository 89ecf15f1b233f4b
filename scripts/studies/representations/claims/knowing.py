"""Claims on what states know of input and output, and of their neighbours (Voita et al. 2019)."""

from __future__ import annotations

from losschange.claims.verdicts import Condition

from .numbers import Number, Spaces, layers_of, read, slope
from .registry import CLAIMS

SHARE = "share of the entropy"


def _smallest(numbers: list[Number]) -> Number:
    return min(numbers, key=lambda number: number.value)


@CLAIMS.claim(
    10,
    "podcast 20:56",
    "From bottom to top CLM loses more of the input than MT, and MT loses some.",
    [
        Condition("information on the input lost, CLM less MT", SHARE, least=0.0),
        Condition("information on the input lost, MT", SHARE, least=0.0),
    ],
    objectives=["clm", "mt"],
)
def input_is_lost(spaces: Spaces):
    """Layer 0 less the last layer, of the corrected information on the word that is read."""
    lost = {}
    for name in ("clm", "mt"):
        layers = spaces.models[name].by_layer("input_information_share")
        lost[name] = layers[0] - layers[-1]
    return [lost["clm"] - lost["mt"], lost["mt"]]


@CLAIMS.claim(
    11,
    "podcast 20:56",
    "MLM rebuilds its input: the top layer knows more of it than some layer below.",
    [Condition("information on the input, top less the least of the inner", SHARE, least=0.0)],
    objectives=["mlm"],
)
def masked_model_rebuilds(spaces: Spaces):
    """Unmasked text. The least of several noisy numbers is rather too small, in favour of the
    claim."""
    layers = spaces.models["mlm"].by_layer("input_information_share")
    return [layers[-1] - _smallest(layers[1:-1])]


@CLAIMS.claim(
    12,
    "podcast 23:08",
    "In CLM and MLM information on the input falls with depth and that on the output rises.",
    [
        Condition("CLM, input: slope over the depth", SHARE, most=0.0),
        Condition("CLM, output: slope over the depth", SHARE, least=0.0),
        Condition("MLM, input: slope over the depth", SHARE, most=0.0),
        Condition("MLM, output: slope over the depth", SHARE, least=0.0),
    ],
    objectives=["clm", "mlm"],
)
def input_falls_output_rises(spaces: Spaces):
    """Output: the next word for CLM, the original word for MLM. MLM reads masked text here, at
    positions where the piece that it reads is not the original one."""
    causal, hidden = spaces.models["clm"], spaces.models["mlm"].hidden
    layers = layers_of(hidden)
    return [
        slope(causal.by_layer("input_information_share")),
        slope(causal.by_layer("output_information_share")),
        slope(read(hidden, "masked_input_share", layer=layers)),
        slope(read(hidden, "masked_output_share", layer=layers)),
    ]


@CLAIMS.claim(
    17,
    "podcast 32:44",
    "CLM: with depth nearest words share word and left neighbour less, right neighbour more.",
    [
        Condition("same word: slope over the depth", most=0.0),
        Condition("same left neighbour: slope over the depth", most=0.0),
        Condition("same right neighbour: slope over the depth", least=0.0),
    ],
    objectives=["clm"],
)
def neighbours_turn_to_the_future(spaces: Spaces):
    """Share of the nearest words of other sentences, layers 0 to N."""
    model = spaces.models["clm"]
    return [slope(model.by_layer(f"neighbours_same_{name}")) for name in ("type", "left", "right")]
