"""Draw arrays as matplotlib figures, without reading files or computing statistics."""
