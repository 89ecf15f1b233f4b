"""One module per figure of the study."""
