"""The claims of a study as files: a record, tables, the matrix, and a page per claim."""
