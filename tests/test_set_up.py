"""The set-up tells in a sentence what a machine lacks, and never leaves a half-made stamp."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import machine_checks  # noqa: E402  (tools/ is no package: it runs before there is an environment)
import set_up  # noqa: E402
from machine_checks import SetUpError  # noqa: E402


def fake_python(folder, name, version, venv=True, headers=None):
    """A command that answers the set-up's question as a Python of some version would."""
    answer = {
        "version": version,
        "executable": f"{folder}/{name}",
        "headers": str(headers or folder),
        "venv": venv,
    }
    command = folder / name
    command.write_text(f"#!/bin/sh\necho '{json.dumps(answer)}'\n")
    command.chmod(0o755)
    return str(command)


def fake_compiler(folder, name, status):
    command = folder / name
    command.write_text(f"#!/bin/sh\nexit {status}\n")
    command.chmod(0o755)


@pytest.fixture
def clone(tmp_path):
    """A folder with what the set-up reads, and an empty folder to use as PATH."""
    (tmp_path / "tools").mkdir()
    for name in ("set_up.py", "machine_checks.py"):
        shutil.copy(ROOT / "tools" / name, tmp_path / "tools")
    shutil.copy(ROOT / "requirements.lock", tmp_path)
    (tmp_path / "bin").mkdir()
    return tmp_path


def run_set_up(clone, *arguments, **variables):
    environment = {"PATH": str(clone / "bin"), **variables}
    command = [sys.executable, str(clone / "tools" / "set_up.py"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_a_wrong_python_is_named_with_its_version(tmp_path):
    wrong = fake_python(tmp_path, "python3", [3, 13, 0])
    with pytest.raises(SetUpError) as error:
        machine_checks.choose_python([wrong, str(tmp_path / "python3.12")])
    assert str(error.value).startswith(
        "Python 3.11 or 3.12 is needed (python3 is 3.13.0, python3.12 does not run)"
    )


def test_another_python_on_the_path_is_taken_instead_of_a_wrong_one(tmp_path):
    wrong = fake_python(tmp_path, "python3", [3, 9, 2])
    right = fake_python(tmp_path, "python3.11", [3, 11, 4])
    assert machine_checks.choose_python([wrong, right])["executable"] == right


def test_an_interpreter_that_only_fails_is_passed_over(tmp_path):
    # such as the stand-in of a version manager that has no such version
    broken = tmp_path / "python3.12"
    broken.write_text("#!/bin/sh\nexit 127\n")
    broken.chmod(0o755)
    right = fake_python(tmp_path, "python3.11", [3, 11, 4])
    assert machine_checks.choose_python([str(broken), right])["executable"] == right


def test_the_running_python_is_supported():
    assert tuple(machine_checks.choose_python([sys.executable])["version"]) == sys.version_info[:3]


def test_a_python_without_venv_is_refused(tmp_path):
    python = machine_checks.probe(fake_python(tmp_path, "python3", [3, 12, 1], venv=False))
    with pytest.raises(SetUpError, match="python3.12-venv"):
        machine_checks.check_python_parts(python)


def test_a_python_without_headers_is_refused(tmp_path):
    python = machine_checks.probe(fake_python(tmp_path, "python3", [3, 11, 2]))
    with pytest.raises(SetUpError, match=r"Python\.h is not in .*python3\.11-dev"):
        machine_checks.check_python_parts(python)


def test_a_compiler_is_found_by_name_or_by_cxx(tmp_path):
    fake_compiler(tmp_path, "clang++", 0)
    fake_compiler(tmp_path, "my-compiler", 0)
    path = {"PATH": str(tmp_path)}
    assert machine_checks.find_compiler(path).endswith("clang++")
    assert machine_checks.find_compiler({**path, "CXX": "my-compiler -O2"}).endswith("my-compiler")
    with pytest.raises(SetUpError, match="looked for absent"):
        machine_checks.find_compiler({**path, "CXX": "absent"})


def test_a_compiler_that_cannot_compile_is_refused(tmp_path):
    fake_compiler(tmp_path, "g++", 1)
    with pytest.raises(SetUpError, match="cannot compile a file that includes <vector>"):
        machine_checks.find_compiler({"PATH": str(tmp_path)})


def test_too_little_disk_is_refused(tmp_path):
    machine_checks.check_disk(tmp_path, 0.0)
    with pytest.raises(SetUpError, match=r"GB are free .* but 1000000000\.0 GB are needed"):
        machine_checks.check_disk(tmp_path, 1e9)


def test_only_cuda_home_is_kept_from_the_build():
    variables = {"CUDA_HOME": "/usr/local/cuda", "MAX_JOBS": "2", "PATH": "/usr/bin"}
    assert set_up.build_environment(variables) == {"MAX_JOBS": "2", "PATH": "/usr/bin"}


def test_a_stage_does_not_see_cuda_home_and_its_output_goes_to_the_log(tmp_path, capsys):
    log = tmp_path / "set-up.log"
    question = "import os; print('CUDA_HOME' in os.environ)"
    environment = set_up.build_environment({**os.environ, "CUDA_HOME": "/usr/local/cuda"})
    set_up.run_stage("Asking", [sys.executable, "-c", question], log, environment)
    assert log.read_text().splitlines()[-1] == "False"
    assert capsys.readouterr().out.startswith("Asking ... ")


def test_a_failing_stage_shows_its_own_last_lines(tmp_path):
    log = tmp_path / "set-up.log"
    log.write_text("of an earlier stage\n")
    program = "for n in range(20): print('line', n)\nraise SystemExit(3)"
    with pytest.raises(SetUpError) as error:
        set_up.run_stage("Building", [sys.executable, "-c", program], log, dict(os.environ))
    message = str(error.value)
    assert "Building: ended with status 3" in message and "line 19" in message
    assert "line 11" not in message and "earlier" not in message
    assert "run the same command again" in message


def test_everything_that_is_missing_is_told_at_once_without_a_traceback(clone):
    done = run_set_up(clone, "--free-gigabytes", "1e9")
    assert done.returncode == 1
    told = done.stderr.splitlines()
    assert len(told) == 2 and all(line.startswith("error: ") for line in told)
    assert "No C++ compiler was found (looked for c++, g++, clang++)" in told[0]
    assert "GB are needed" in told[1]
    assert not (clone / ".venv").exists()


def test_a_missing_lock_is_told_without_a_traceback(clone):
    (clone / "requirements.lock").unlink()
    fake_compiler(clone / "bin", "c++", 0)
    done = run_set_up(clone, "--free-gigabytes", "0")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and "requirements.lock" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_complete_environment_is_left_alone_whatever_the_machine_lacks(clone):
    (clone / ".venv" / "bin").mkdir(parents=True)
    (clone / ".venv" / "bin" / "python").touch()
    stamp = set_up.stamp_of(clone / "requirements.lock", clone / ".venv")
    (clone / ".venv" / ".complete").write_text(stamp)
    done = run_set_up(clone)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_environment_is_complete_only_with_its_stamp_lock_place_and_python(clone):
    lock, environment = clone / "requirements.lock", clone / ".venv"
    assert not set_up.is_complete(lock, environment)
    (environment / "bin").mkdir(parents=True)
    (environment / "bin" / "python").touch()
    assert not set_up.is_complete(lock, environment)
    (environment / ".complete").write_text(set_up.stamp_of(lock, environment))
    assert set_up.is_complete(lock, environment)

    environment.rename(clone / "moved")
    assert not set_up.is_complete(lock, clone / "moved")
    (clone / "moved").rename(environment)
    (environment / "bin" / "python").unlink()
    assert not set_up.is_complete(lock, environment)
    (environment / "bin" / "python").touch()
    lock.write_text(lock.read_text() + "# changed\n")
    assert not set_up.is_complete(lock, environment)


def test_an_interrupted_environment_is_emptied_but_a_linked_folder_stays(tmp_path):
    elsewhere = tmp_path / "larger disk"
    (elsewhere / "lib").mkdir(parents=True)
    (elsewhere / "lib" / "half.py").touch()
    (tmp_path / ".venv").symlink_to(elsewhere)
    set_up.make_empty(tmp_path / ".venv")
    assert (tmp_path / ".venv").is_symlink() and list(elsewhere.iterdir()) == []


def test_a_lock_line_that_is_no_pin_is_named(tmp_path):
    lock = tmp_path / "requirements.lock"
    lock.write_text("# pins\ntorch==2.13.0\nnumpy>=2\n")
    with pytest.raises(SetUpError, match=r"requirements\.lock, line 3: .*'numpy>=2'"):
        set_up.read_lock(lock)
