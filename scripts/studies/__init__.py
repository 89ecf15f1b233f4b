"""The studies, a folder each; only common.study_modules and a study's scripts import from here."""
