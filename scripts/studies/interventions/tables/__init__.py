"""The tables of the study on interventions."""
