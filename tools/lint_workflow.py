"""Run Snakemake's lint and leave out the findings that this project accepts, with reasons.

Snakemake has no switch for single findings, and exits with 1 for any.

    python tools/lint_workflow.py [ARGUMENTS OF SNAKEMAKE]
"""

import re
import subprocess
import sys

ACCEPTED = {
    r"Shell command directly uses variable (PYTHON|SCRIPTS|MIRROR|TRIES|TIMEOUT|WORKERS) ": "it "
    "decides how a job is run, and changes no result",
    r"Shell command directly uses variable (DIGESTS_JSON|UNPACKED_LIMIT|INVALID_SHARE) ": "it "
    "decides whether a text is refused, and changes none",
    r"Shell command directly uses variable (SOURCES_LISTED|RESULTS) ": "it is only printed",
    r"Param (folder|stem|figures|tables) is a prefix": "it is the rule's own folder",
    r"Mixed rules and functions": "the functions of a stage stand beside its rules",
}


def open_findings(text):
    """Findings of a lint that are not accepted, as (place, title).

    Parameters
    ----------
    text : str
        What `snakemake --lint` writes.

    Raises
    ------
    ValueError
        If it holds no lint, such as an error in the workflow.
    """
    found, place = [], None
    for line in text.splitlines():
        if line.startswith("Lints for "):
            place = line.removeprefix("Lints for ").rstrip(":")
        elif place and line.startswith("    * "):
            found.append((place, line.removeprefix("    * ").rstrip(":")))
    if place is None and "Congratulations" not in text:
        raise ValueError(text)
    accepted = re.compile("|".join(ACCEPTED))
    return [(place, title) for place, title in found if not accepted.match(title)]


def main():
    """Print the findings that are not accepted; exit status 1 if there are any."""
    if {"-h", "--help"} & set(sys.argv):
        print(__doc__)
        return
    command = [sys.executable, "-m", "snakemake", "--lint", *sys.argv[1:]]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        findings = open_findings(done.stdout)
    except ValueError as error:
        sys.exit(f"error: the lint did not run:\n{error}")
    for place, title in findings:
        print(f"{place}: {title}")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
