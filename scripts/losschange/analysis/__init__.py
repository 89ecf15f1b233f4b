"""From cubes to what figures, tables and claims need: summaries, profiles, conservation."""
