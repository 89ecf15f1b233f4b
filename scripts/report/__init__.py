"""The report of a run: one self-contained HTML page.

Read in this order: `inputs` (the files of a run), `quality` and `conservation` (how far its
numbers can be trusted), `overview` and `provenance` (its size, data and settings), `illustrations`
(figures, tables, captions), `sections` (those of studies), `page` (fills the template).
"""
