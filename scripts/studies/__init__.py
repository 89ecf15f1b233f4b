"""The studies, a folder each. Only common.study_modules and a study's own scripts import from here."""
