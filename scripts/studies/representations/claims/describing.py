"""Claims on change, influence and average similarity of single spaces."""

from __future__ import annotations

from losschange.claims.verdicts import Condition

from .numbers import Number, Space, Spaces, layers_of, mean, read, slope
from .registry import CLAIMS

DISTANCE = "PWCCA distance"


def _change(space: Space) -> list[list[Number]]:
    """Change into every layer 1 to N, by frequency bin."""
    return [read(space.described, "change", layer=name) for name in layers_of(space.described)[1:]]


@CLAIMS.claim(
    14,
    "podcast 27:31",
    "MT changes less the higher the layer; MLM's last layer changes more than some layer below.",
    [
        Condition("MT: slope of the change over the depth", DISTANCE, most=0.0),
        Condition("MLM: change in the last layer less the smallest", DISTANCE, least=0.0),
    ],
    objectives=["mlm", "mt"],
)
def change_over_depth(spaces: Spaces):
    """PWCCA distance of consecutive layers, mean over the frequency bins."""
    by_model = {
        name: [mean(layer) for layer in _change(space)] for name, space in spaces.models.items()
    }
    masked = by_model["mlm"]
    return [
        slope(by_model["mt"]),
        masked[-1] - min(masked[:-1], key=lambda number: number.value),
    ]


@CLAIMS.claim(
    15,
    "podcast 28:45",
    "In MT and CLM frequent words change more and influence the others less than rare ones.",
    [
        Condition("MT: change of frequent less rare words", DISTANCE, least=0.0),
        Condition("MT: influence of rare less frequent words", DISTANCE, least=0.0),
        Condition("CLM: change of frequent less rare words", DISTANCE, least=0.0),
        Condition("CLM: influence of rare less frequent words", DISTANCE, least=0.0),
    ],
    objectives=["clm", "mt"],
)
def frequent_words_change_more(spaces: Spaces):
    """The first of five frequency bins and the last one, mean over the layers."""
    found = []
    for name in ("mt", "clm"):
        space = spaces.models[name]
        found.append(mean([layer[0] - layer[-1] for layer in _change(space)]))
        found.append(
            mean([layer[-1] - layer[0] for layer in _influence(space, layers_of(space.hidden))])
        )
    return found


@CLAIMS.claim(
    16,
    "podcast 29:56",
    "In layer 1 rare words influence the others twice as much as frequent ones in MT, not in MLM.",
    [
        Condition("MT, layer 1: influence of rare over frequent words", least=2.0),
        Condition("MLM, layer 1: influence of rare over frequent words", most=2.0),
    ],
    objectives=["mlm", "mt"],
)
def rare_words_influence_more(spaces: Spaces):
    """The last of five frequency bins over the first one."""
    ratios = []
    for name in ("mt", "mlm"):
        [layer] = _influence(spaces.models[name], ["1"])
        ratios.append(layer[-1].over(layer[0]))
    return ratios


def _influence(space: Space, layers: list[str]) -> list[list[Number]]:
    return [read(space.hidden, "influence", layer=name) for name in layers if name != "0"]


@CLAIMS.claim(
    18,
    "talk: A high average similarity of the MT embeddings layer",
    "The average similarity of MT's layer 0 is above MLM's, without positions as well.",
    [
        Condition("layer 0, MT less MLM", "cosine", least=0.0),
        Condition("layer 0 without positions, MT less MLM", "cosine", least=0.0),
    ],
    objectives=["mlm", "mt"],
)
def similar_embeddings(spaces: Spaces):
    """Position embeddings point the same way for all words at a place, so they may be the whole
    reason; the second number has none."""
    return [
        read(spaces.models["mt"].described, "average_similarity", layer=layer)[0]
        - read(spaces.models["mlm"].described, "average_similarity", layer=layer)[0]
        for layer in ("0", "0 without positions")
    ]


@CLAIMS.claim(
    19,
    "talk: Contrast in the AvgSim behaviour",
    "Average similarity rises step by step in MLM, and all at once in MT's last layer.",
    [
        Condition("MLM: half of the rise less the largest step", "cosine", least=0.0),
        Condition("MT: last step less the largest other step", "cosine", least=0.0),
    ],
    objectives=["mlm", "mt"],
)
def steps_of_similarity(spaces: Spaces):
    """Steps from layer to layer. Where MLM's average similarity does not rise, the first number is
    below 0."""
    steps = {}
    for name, space in spaces.models.items():
        layers = space.by_layer("average_similarity")
        steps[name] = [two - one for one, two in zip(layers[:-1], layers[1:], strict=True)]
        if name == "mlm":
            rise = layers[-1] - layers[0]
    largest = max(steps["mlm"], key=lambda number: number.value)
    others = max(steps["mt"][:-1], key=lambda number: number.value)
    return [rise.times(0.5) - largest, steps["mt"][-1] - others]
