"""Tables of the paper, one module each: from summaries and records to rows."""
