"""The paper's claims as files: record, tables, matrix and a page for each."""
