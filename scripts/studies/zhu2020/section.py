"""The study's part of the report."""
