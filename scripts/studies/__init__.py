"""One folder per study; only common.study_modules and a study's own scripts look into it."""
