"""Estimators of first order in single updates: their gradients are taken before the update."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from losschange.cube.estimators import parse_estimator

from .probe_integrator import Gradients, Measure

GradientAtStart = Callable[[int], Gradients]


def gradients_at_start(
    estimators: Iterable[str],
    probes: Mapping[str, Measure],
    fresh: Mapping[str, GradientAtStart],
) -> dict[str, GradientAtStart]:
    """For every estimator with the rule "fresh" or "exact", what gives its gradients.

    Parameters
    ----------
    estimators : iterable of str
    probes : mapping of text to Measure
        The whole text, for the rule "exact".
    fresh : mapping of text to callable (update) -> gradients
        A newly drawn batch, for the rule "fresh".

    Returns
    -------
    mapping of estimator to callable (number of the update) -> gradients
    """
    found: dict[str, GradientAtStart] = {}
    for name in estimators:
        estimator = parse_estimator(name)
        if estimator.rule == "fresh":
            found[name] = fresh[estimator.text]
        elif estimator.rule == "exact":
            found[name] = _without_loss(probes[estimator.text])
    return found


def _without_loss(measure: Measure) -> GradientAtStart:
    return lambda update: measure(None)[1]
