"""The estimators that most tests record, all on the training and the validation text."""

from losschange.cube.estimators import parse_estimator

ESTIMATORS = ("batch", "fresh", "probe", "simpson", "probe_valid", "simpson_valid")
# Probe to the text that it evaluates.
PROBES = {name: parse_estimator(name).text for name in ESTIMATORS if parse_estimator(name).is_probe}
