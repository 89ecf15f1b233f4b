"""For every claim a change to the run that is like the paper's, after which it is false."""

from __future__ import annotations

from copy import deepcopy

import numpy as np

from synthetic_summaries import (
    ATTENTION,
    BINS,
    FEED_FORWARD,
    LAYER,
    SIX,
    paper_like_run,
)


def falsified(number):
    """The run like the paper's, changed so that claim `number` is false."""
    run = deepcopy(paper_like_run())
    CHANGES[number](run)
    return run


def of_objective(run, objective):
    return [training for training in run.values() if training.objective == objective]


def set_profiles(run, objective, names, values):
    for training in of_objective(run, objective):
        for name in names:
            training.profile[name] = np.array(values, float)


def change_profiles(run, objective, names, change):
    for training in of_objective(run, objective):
        for name in names:
            training.profile[name] = change(training.profile[name].copy())


def put(layer, value):
    """A change of one layer, counted from 1."""

    def change(profile):
        profile[layer - 1] = value
        return profile

    return change


def set_rates(run, objective, names, values):
    for training in of_objective(run, objective):
        for name in names:
            training.rate[name] = np.broadcast_to(np.asarray(values, float), (12,)).copy()


def set_field(run, objective, name, value):
    for training in of_objective(run, objective):
        setattr(training, name, value)


def halves(first, second):
    return np.concatenate([first, second])


def turned_heads(run):
    for objective in ("clm", "mlm", "mt"):
        spread = np.full(12, 0.2)
        spread[
            [layer - 1 for layer in {"mlm": (1, 9, 12), "clm": (3, 7), "mt": (5, 7)}[objective]]
        ] = 0
        set_field(run, objective, "spread", spread)


def mixed_objectives(run):
    """Models differ by language only."""
    for training in run.values():
        language = training.model.split("-")[-1].replace("wmt", "de")
        shape = 1 + 0.2 * np.cos(LAYER * (1 + ["en", "de", "fi", "et"].index(language)))
        for name in SIX:
            training.profile[name] = shape.copy()


def different_finnish(run):
    for name in SIX:
        run["mlm-et"].profile[name] = run["mlm-en"].profile[name].copy()
        run["mlm-fi"].profile[name] = run["mlm-en"].profile[name][::-1] ** 2


def later_english(run):
    for model in ("clm-en", "clm-de"):
        for name in ATTENTION:
            run[model].profile[name] = run[model].profile[name] + 0.15 * (LAYER - 6.5)


def finnish_peak_at_the_end(run):
    for name in ATTENTION:
        run["clm-fi"].profile[name][11] = 9.0


def always_positive(run):
    run["clm-en"].positives["key"][:, 3] = 1


def positives_elsewhere(run):
    for training in of_objective(run, "mlm"):
        for name in ATTENTION:
            training.positives[name] = np.roll(training.positives[name], 5, axis=1)


def values_hurt_too(run):
    for training in of_objective(run, "mlm"):
        training.positives["value"] = training.positives["query"] * 2


def swap_onsets(run):
    for objective, onset in (("clm", 0.0), ("mlm", 0.0), ("mt", 0.2)):
        set_field(run, objective, "onset", onset)
        set_field(run, objective, "ripple", np.zeros(12))
    for training in of_objective(run, "mlm"):
        training.rate = deepcopy(run["clm-en"].rate)


def move_ripple(run):
    set_field(run, "mlm", "ripple", np.where((LAYER >= 3) & (LAYER <= 8), 0.6, 0.02))
    set_field(run, "mlm", "embedding_ripple", 0.0)


def rough_translation(run):
    set_field(run, "mt", "ripple", np.full(12, 1.5))
    set_field(run, "clm", "ripple", np.zeros(12))


RISING = np.linspace(0.5, 3, 6)
INVERTED = np.array([0.5, 2, 3, 3, 2, 0.5])
CHANGES = {
    1: lambda run: set_field(run, "mt", "ratio", 4.0),
    2: lambda run: change_profiles(run, "clm", FEED_FORWARD, lambda p: p / 8),
    3: lambda run: change_profiles(run, "mlm", ATTENTION, lambda p: 4 - p),
    4: lambda run: set_profiles(run, "clm", ATTENTION, LAYER / 4),
    5: lambda run: set_profiles(run, "mt", ("key", "query"), halves(RISING, RISING)),
    6: lambda run: set_profiles(run, "mt", ("value", "out"), halves(INVERTED, RISING)),
    7: lambda run: set_profiles(run, "mt", ("key", "query"), halves(RISING, RISING)),
    8: lambda run: (
        set_profiles(run, "mt", ("query",), run["mt-en-de"].profile["value"] + 0.3 * LAYER),
        set_profiles(run, "mt", ("out",), 4 - run["mt-en-de"].profile["value"]),
    ),
    9: lambda run: change_profiles(run, "clm", FEED_FORWARD, put(12, 5.0)),
    10: lambda run: change_profiles(run, "mlm", FEED_FORWARD, put(1, 1.0)),
    11: lambda run: [
        change_profiles(run, "mlm", (name,), lambda p, by=by: np.roll(p, by))
        for by, name in enumerate(SIX)
    ],
    12: lambda run: change_profiles(run, "clm", FEED_FORWARD, lambda p: p[::-1]),
    13: lambda run: change_profiles(run, "mt", FEED_FORWARD, lambda p: p[::-1]),
    14: lambda run: change_profiles(run, "mt", FEED_FORWARD, put(6, 2.0)),
    15: lambda run: [set_rates(run, o, SIX, 0.5) for o in ("clm", "mlm", "mt")],
    16: lambda run: set_rates(run, "clm", SIX, 10 + LAYER),
    17: move_ripple,
    18: lambda run: set_rates(run, "mlm", SIX, np.where((LAYER > 2) & (LAYER < 9), 8, 20)),
    19: swap_onsets,
    20: rough_translation,
    21: lambda run: set_profiles(run, "clm", SIX, 13.0 - LAYER),
    22: lambda run: set_rates(run, "clm", FEED_FORWARD, 40.0),
    23: lambda run: [set_field(run, o, "spread", np.full(12, 3.0)) for o in ("clm", "mlm", "mt")],
    24: turned_heads,
    25: always_positive,
    26: positives_elsewhere,
    27: values_hurt_too,
    28: lambda run: change_profiles(run, "clm", ("key",), put(3, -1.0)),
    29: mixed_objectives,
    30: different_finnish,
    31: later_english,
    32: finnish_peak_at_the_end,
}


def early_positives_at_the_limit(run):
    """The last positive record stands where 3 % of training end."""
    for objective in ("clm", "mt"):
        for training in of_objective(run, objective):
            training.positives["key"][round(0.03 * BINS), 3] = 1


def rare_key_positives(run):
    """Some ten times as many records of keys and queries as of values."""
    for training in of_objective(run, "mlm"):
        for name in ("key", "query"):
            training.positives[name][:] = 0
            training.positives[name][40:140, 1:5] = (np.arange(40, 140) % 7 == 0)[:, None]
        training.positives["value"][50:90:8, 4] = 1
        training.positives["out"][:] = 0


def late_positives_of_both_kinds(run):
    """Eight in ten late positive records are where the claim wants them."""
    random = np.random.default_rng(3)
    for training in of_objective(run, "mlm"):
        for name in SIX:
            training.positives[name][:] = 0
        for name, layer, count in (("key", 2, 32), ("W1", 8, 8)):
            training.positives[name][random.choice(np.arange(30, BINS), count), layer] = 1


# Claims about counts jump; these lie at the limit by themselves.
UNDECIDED = {
    25: early_positives_at_the_limit,
    26: late_positives_of_both_kinds,
    27: rare_key_positives,
}
