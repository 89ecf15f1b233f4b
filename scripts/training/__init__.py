"""Training a model with recording: its arguments, the run, its saved state and its quality."""
