"""Four small related artificial languages that express the same meanings."""
