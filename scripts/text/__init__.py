"""Fetching, generating, cleaning and splitting of the parallel corpora."""
