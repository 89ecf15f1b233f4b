"""What a script says when it fails: a sentence, and the traceback of what may be a bug."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from common.files import UserError, run_script

PATH = str(Path(__file__).parents[1] / "scripts")


def fail_with(error):
    def main():
        raise error

    return main


def test_a_mistake_of_the_user_is_one_sentence(capsys):
    with pytest.raises(SystemExit) as ended:
        run_script(fail_with(UserError("no such model")))
    assert ended.value.code == 1
    assert capsys.readouterr().err == "error: no such model\n"


def test_an_error_of_the_system_keeps_its_traceback_before_the_sentence(capsys):
    """It may be a full disk, or a bug such as a file that was closed twice."""
    with pytest.raises(SystemExit):
        run_script(fail_with(OSError(9, "Bad file descriptor")))
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("Traceback") and any(
        "fail_with" in line or "main" in line for line in said
    )
    assert said[-1] == "error: [Errno 9] Bad file descriptor"


def log_of(program, folder, *arguments):
    """What a script writes into the log of a rule, as Snakemake's shell redirects it."""
    program = f"from common.files import UserError, run_script\n{program}\nrun_script(main)"
    words = shlex.join([sys.executable, "-c", program, *arguments])
    environment = {"PYTHONPATH": PATH}
    done = subprocess.run(f"{words} > rule.log 2>&1", shell=True, cwd=folder, env=environment)
    assert done.returncode == 1
    return (folder / "rule.log").read_text()


OPENS = "def main():\n    open('models')"
TRANSLATES = """
def main():
    try:
        open("models")
    except OSError as error:
        raise UserError("the models could not be read") from error
"""


@pytest.mark.parametrize("program", [OPENS, TRANSLATES], ids=["plain", "as a user's mistake"])
def test_a_missing_file_of_the_program_itself_keeps_its_traceback_in_the_log(program, tmp_path):
    """The command line has longer words that hold the name of the file."""
    log = log_of(program, tmp_path, "--models", "results/models/clm-en.nc")
    assert log.startswith("Traceback") and "in main" in log
    assert "No such file or directory: 'models'" in log
    assert log.splitlines()[-1].startswith("error: ")


@pytest.mark.parametrize("program", [OPENS, TRANSLATES], ids=["plain", "as a user's mistake"])
@pytest.mark.parametrize("words", [("--cubes", "models"), ('--inputs={"cubes": ["models"]}',)])
def test_a_missing_file_that_the_command_line_names_is_one_sentence(program, words, tmp_path):
    log = log_of(program, tmp_path, *words)
    assert log.startswith("error: ") and len(log.splitlines()) == 1


def test_a_library_may_name_the_file_by_its_absolute_path(tmp_path):
    program = "import os\ndef main():\n    open(os.path.abspath('models/clm-en.nc'))"
    log = log_of(program, tmp_path, "--cube", "models/clm-en.nc")
    assert log.startswith("error: ") and len(log.splitlines()) == 1


def test_a_full_disk_is_one_sentence_wherever_it_is_noticed(tmp_path):
    program = "def main():\n    raise OSError(28, 'No space left on device', 'parts')"
    assert log_of(program, tmp_path) == "error: [Errno 28] No space left on device: 'parts'\n"


def test_anything_else_is_a_bug(capsys):
    with pytest.raises(ZeroDivisionError):
        run_script(fail_with(ZeroDivisionError()))
