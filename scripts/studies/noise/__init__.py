"""What the paper's estimator measures: the loss change, curvature, and gradient noise."""
