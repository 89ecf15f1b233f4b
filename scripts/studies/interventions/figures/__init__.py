"""The figures of the study on interventions."""
