"""The report of a run: one HTML page that needs nothing but a browser.

Read in this order: `inputs` (what a run left behind), `quality` and `conservation` (can it be
believed), `overview` and `provenance` (what it is and what it was made from), `illustrations`
(figures, tables, captions), `oddities` (of the paper), `page` (all of it into the template).
"""
