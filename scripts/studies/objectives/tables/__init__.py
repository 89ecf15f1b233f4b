"""One module per table of the study."""
