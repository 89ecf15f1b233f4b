"""What a script says when it fails: a sentence, and the traceback of what may be a bug."""

import pytest

from running.files import UserError, run_script


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


def test_anything_else_is_a_bug(capsys):
    with pytest.raises(ZeroDivisionError):
        run_script(fail_with(ZeroDivisionError()))
