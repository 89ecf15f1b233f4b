"""Heads and prunings of a translation model whose measures are given, for tests of the study."""

import numpy as np

from attention_heads.description import Description
from attention_heads.functions import Counts
from attention_heads.gates import Pruning
from attention_heads.series import make_series
from attention_heads.storage import open_gates_file, open_heads, write_gates, write_heads
from studies.attention_heads.evidence import Training

TYPES = ("encoder", "decoder", "cross")
LAYERS, HEADS, SENTENCES, GROUPS = 6, 8, 40, 10
OPEN, CLOSED = 6.0, -6.0  # log-odds of gates that have converged


def spread(values, noise, seed):
    """Values by sentence (sentences, layers, heads) around given means."""
    random = np.random.default_rng(seed)
    return values + noise * random.standard_normal((SENTENCES, *np.shape(values)))


def description(relevance, confidence, positional=0.1, rare=0.1, gain=0.0, heads=HEADS):
    """A description in which all types of attention are alike.

    Parameters
    ----------
    relevance, confidence : array (layers, heads)
    positional, rare, gain : number, or array (layers, heads)
        Rate at offset -1; at the two rarest tokens; above the best offset of 0.3, for subjects and
        objects.
    """
    shape = (LAYERS, heads)
    each = 20.0  # chances of every group
    places = np.zeros((GROUPS, *shape, 7))
    places[..., 2] = each * np.broadcast_to(positional, shape)
    seldom = np.zeros((GROUPS, *shape, 2))
    seldom[..., 1] = each * np.broadcast_to(rare, shape)
    syntax = np.zeros((GROUPS, *shape, 4, 2))
    syntax[..., :2, 0] = each * (0.3 + np.broadcast_to(gain, shape))[..., None]
    full = np.full((GROUPS, 4, 2), each)
    counts = {
        "positional": Counts(places, np.full((GROUPS, 7), each), np.zeros((GROUPS, 7))),
        "rare": Counts(seldom, np.full((GROUPS, 2), each), np.full((GROUPS, 2), 0.2 * each)),
        "syntactic": Counts(syntax, full, 0.3 * full),
    }
    values = {"relevance": relevance, "confidence": confidence, "weight_norm": np.ones(shape)}
    values |= {"ablation": relevance, "importance": relevance, "signed_importance": -relevance}
    values["adjusted_confidence"] = confidence
    by_sentence = {
        f"{name}_by_sentence": spread(values[name], 0.01, place)
        for place, name in enumerate(("confidence", "relevance", "importance", "ablation"))
    }

    def every(found):
        return dict.fromkeys(TYPES, found)

    return Description(
        {name: every(each) for name, each in values.items()}
        | {kind: every(each.rates) for kind, each in counts.items()},
        {name: every(each) for name, each in by_sentence.items()},
        {kind: every(each) for kind, each in counts.items()},
        targets=np.full(SENTENCES, 5),
    )


def bleu_rows(share, translations=40, length=20):
    """BLEU statistics of translations in which a share of all n-grams is right."""
    totals = [length - n for n in range(4)]
    right = [round(share * total) for total in totals]
    return np.array([[*right, *totals, length, length]] * translations, dtype=float)


def pruning_arm(folder, name, kept, bleu=0.5, loss=2.0, worth=0.5, decided=True):
    """Write gates/mt-en-de.<name>.nc.

    Parameters
    ----------
    kept : mapping of attention type to bool array (layers, heads)
    bleu : float
        Share of right n-grams.
    loss : float
        Of every sentence, nats per token.
    worth : float
        What closing all heads costs, nats per token.
    decided : bool
        Whether the gates have converged.
    """
    scale = 1.0 if decided else 0.1
    log_alpha = {
        kind: scale * np.where(each, OPEN, CLOSED).astype(np.float32) for kind, each in kept.items()
    }
    price = 0.0 if name.endswith("control") else 0.01
    pruning = Pruning(price, log_alpha, np.ones(3), np.ones(3))
    random = np.random.default_rng(1)
    before = 5 * (2.0 + 0.1 * random.standard_normal(SENTENCES))
    scores = {
        "sentence_loss": ("sentence", before + 5 * (loss - 2.0)),
        "targets": ("sentence", np.full(SENTENCES, 5)),
        "unpruned_sentence_loss": ("sentence", before),
        "closed_sentence_loss": ("sentence", before + 5 * worth),
        "bleu_statistics": (("translation", "statistic"), bleu_rows(bleu)),
    }
    attributes = {
        "model": "mt-en-de",
        "arm": name,
        "no_price": "",
        "bleu": 100 * bleu,
        "bleu_shuffled_sources": 0.5,
        "unpruned_bleu": 100 * bleu,
        "kept_heads": sum(int(each.sum()) for each in kept.values()),
        "gated_heads": sum(each.size for each in kept.values()),
    }
    path = folder / f"mt-en-de.{name}.nc"
    write_gates(path, pruning, attributes, scores)
    return open_gates_file(path)


def training(folder, found, arms=(), heads=HEADS, snapshots=None, **attributes):
    """A training from descriptions (one per snapshot) and opened gates files."""
    found = found if isinstance(found, list) else [found]
    shapes = dict.fromkeys(TYPES, (LAYERS, heads))
    updates = snapshots or list(range(0, 100 * len(found), 100))
    path = folder / "mt-en-de.nc"
    dataset = make_series(updates, shapes, found, {"model": "mt-en-de", **attributes})
    write_heads(path, dataset)
    return Training("mt-en-de", open_heads(path), {str(a.attrs["arm"]): a for a in arms})
