"""Colours of the three parts; of the palette of Okabe and Ito."""

PART_COLOURS = {"measured": "#0072B2", "curvature": "#E69F00", "noise": "#9A9A9A"}
# Of trainings by optimizer.
OPTIMIZER_TITLES = {"adam": "Adam", "sgd": "SGD"}
