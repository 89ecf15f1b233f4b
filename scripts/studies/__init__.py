"""The studies, a folder each. Only running.studies and a study's own scripts import from here."""
