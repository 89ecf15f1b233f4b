"""A workflow that is imported as a module says no; rules quote the paths of the clone."""

import re

from workflow_runs import ROOT, snakemake


def test_a_module_import_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "Snakefile").write_text(
        f'module other:\n    snakefile: "{ROOT}/Snakefile"\n\nuse rule * from other as other_*\n'
    )
    done = snakemake(tmp_path, "--cores", "1", "--dry-run")
    assert done.returncode != 0 and "Traceback" not in done.stdout
    assert "This workflow cannot be imported as a module. Run it by itself" in done.stdout


def test_every_rule_quotes_the_interpreter_and_the_scripts():
    for path in (ROOT / "rules").rglob("*.smk"):
        text = path.read_text(encoding="utf-8")
        assert not re.findall(r"\{(?:PYTHON|SCRIPTS|input\.code\[0\])\}", text), path.name
