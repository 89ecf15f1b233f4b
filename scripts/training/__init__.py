"""Training a model with recording: arguments, the run itself, its state, its quality."""
