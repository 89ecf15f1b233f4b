"""Tables of the study, one module each: from records to rows."""
