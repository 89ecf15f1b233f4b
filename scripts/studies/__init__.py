"""One folder per study: its figures, tables, claims and section of the report."""
