"""One folder per study; nothing but running.studies and a study's own scripts looks into it."""
