"""Snakemake's lint: what the project accepts is left out, all else is told with its place."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))

from lint_workflow import open_findings  # noqa: E402

LINT = """Using workflow specific profile profiles/default for setting defaults.
Lints for snakefile rules/tokens.smk:
    * Mixed rules and functions in same snakefile.:
      Small one-liner functions used only once should be lambdas.
Lints for rule learn_vocabulary (line 5, rules/tokens.smk):
    * Shell command directly uses variable PYTHON from outside of the rule:
      It is recommended to pass all files as input and output.
    * No log directive defined:
      Without a log directive, all output will be printed to the terminal.
"""


def test_only_findings_that_are_not_accepted_are_left():
    assert open_findings(LINT) == [
        ("rule learn_vocabulary (line 5, rules/tokens.smk)", "No log directive defined")
    ]


def test_a_workflow_without_findings_passes():
    assert open_findings("Congratulations, your workflow is in a good condition!\n") == []


def test_an_error_in_the_workflow_is_not_taken_for_a_clean_lint():
    with pytest.raises(ValueError, match="SyntaxError in file"):
        open_findings("SyntaxError in file Snakefile, line 3:\ninvalid syntax\n")
