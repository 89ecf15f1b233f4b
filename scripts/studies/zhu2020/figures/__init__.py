"""The figures of the study, a module each."""
