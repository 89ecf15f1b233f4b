"""The set-up tells in a sentence what a machine lacks, and never leaves a half-made stamp."""

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

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
    for name in ("set_up.py", "machine_checks.py", "pip_settings.py"):
        shutil.copy(ROOT / "tools" / name, tmp_path / "tools")
    shutil.copytree(ROOT / "tools" / "fairseq_build", tmp_path / "tools" / "fairseq_build")
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


def test_only_cuda_home_is_kept_from_the_build_of_fairseq():
    variables = {"CUDA_HOME": "/usr/local/cuda", "MAX_JOBS": "2", "PATH": "/usr/bin"}
    kept = set_up.fairseq_variables(variables)
    assert kept.pop("PYTHONPATH") == str(ROOT / "tools" / "fairseq_build")
    assert kept == {"MAX_JOBS": "2", "PATH": "/usr/bin"}


def test_a_stage_sees_its_variables_alone_and_its_output_goes_to_the_log(tmp_path, capsys):
    log = tmp_path / "set-up.log"
    question = "import os; print('CUDA_HOME' in os.environ)"
    environment = {**os.environ, "CUDA_HOME": "/usr/local/cuda"}
    environment = {**set_up.fairseq_variables(environment), "PYTHONPATH": ""}
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


def test_a_complete_environment_behind_a_link_is_left_alone(clone):
    elsewhere = clone / "larger disk"
    (elsewhere / "bin").mkdir(parents=True)
    (elsewhere / "bin" / "python").touch()
    (clone / ".venv").symlink_to(elsewhere)
    (elsewhere / ".complete").write_text(set_up.stamp_of(clone / "requirements.lock", elsewhere))
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


def test_the_environment_of_another_clone_is_not_emptied_through_a_link(tmp_path):
    lock = tmp_path / "requirements.lock"
    lock.touch()
    other, mine = tmp_path / "other" / ".venv", tmp_path / "mine" / ".venv"
    other.mkdir(parents=True)
    (other / ".complete").write_text(set_up.stamp_of(lock, other))
    mine.parent.mkdir()
    mine.symlink_to(other)
    with pytest.raises(SetUpError, match="the environment of another clone.*Nothing was changed"):
        set_up.make_empty(mine)
    assert (other / ".complete").is_file()
    # On a larger disk, and this clone's own: of an older lock, it is made anew.
    (other / ".complete").write_text(set_up.stamp_of(lock, mine))
    set_up.make_empty(mine)
    assert list(other.iterdir()) == []


def test_a_pin_without_hashes_is_named(tmp_path):
    lock = tmp_path / "requirements.lock"
    lock.write_text("# pins\ntorch==2.13.0 \\\n    --hash=sha256:00\nnumpy==2.4.6\n")
    with pytest.raises(SetUpError, match=r"requirements\.lock: .*'numpy==2\.4\.6'; run make lock"):
        set_up.read_lock(lock)
    lock.write_text("numpy>=2 \\\n    --hash=sha256:00\n")
    with pytest.raises(SetUpError, match="found 'numpy>=2"):
        set_up.read_lock(lock)
    lock.write_text("torch==2.13.0 \\\n    --hash=sha256:00\n")
    with pytest.raises(SetUpError, match="does not pin uv, torchaudio, fairseq-fixed"):
        set_up.read_lock(lock)


def test_the_lock_is_read_whole_with_every_hash():
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pins = set_up.read_lock(ROOT / "requirements.lock")
    assert len(pins) == len(re.findall("^[a-z]", text, re.MULTILINE)) > 150
    assert sum(lines.count("--hash=") for _, lines in pins.values()) == text.count("--hash=")
    assert pins["torch"][0] == "2.13.0"


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("OSError: [Errno 28] No space left on device", "The disk is full"),
        ("error: Hash mismatch for `numpy==2.4.6`", "UV_NO_VERIFY_HASHES=1"),
        ("  cause: dns error", "The package index was not reached"),
        ("Failed to establish a new connection: [Errno 111]", "The package index was not reached"),
        ("ERROR: Could not find uv==0.13.9 (from versions: none)", "or lacks a package"),
        ("something else", "It may have been the network or the disk"),
    ],
)
def test_a_failed_stage_says_what_to_do(tmp_path, said, advice):
    log = tmp_path / "set-up.log"
    with pytest.raises(SetUpError, match=advice):
        program = f"print({said!r}); raise SystemExit(1)"
        set_up.run_stage("Building", [sys.executable, "-c", program], log, dict(os.environ))


@pytest.mark.slow
def test_without_a_network_the_set_up_ends_in_a_sentence_and_leaves_no_stamp(clone):
    fake_compiler(clone / "bin", "c++", 0)
    nobody = "http://127.0.0.1:9/simple"
    variables = {"PIP_INDEX_URL": nobody, "PIP_EXTRA_INDEX_URL": nobody, "PIP_RETRIES": "0"}
    done = run_set_up(clone, "--free-gigabytes", "0", **variables)
    assert done.returncode == 1
    assert (
        "The package index was not reached, or lacks a package: look at the network" in done.stderr
    )
    assert "Traceback" not in done.stderr and not (clone / ".venv" / ".complete").exists()


def test_fairseq_is_built_with_two_of_its_modules_and_the_others_say_so(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools" / "fairseq_build"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fairseq").mkdir()
    import setuptools

    monkeypatch.setattr(setuptools, "setup", setuptools.setup)  # put back afterwards
    monkeypatch.delitem(sys.modules, "sitecustomize", raising=False)
    hook = importlib.import_module("sitecustomize")
    for name in hook.CLASSIFIERS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    names = [*hook.LEFT_OUT, *hook.BUILT]
    options = {"version": "0.12.3.1", "ext_modules": [SimpleNamespace(name=one) for one in names]}
    reduced = hook.reduced(options)
    assert [extension.name for extension in reduced["ext_modules"]] == list(hook.BUILT)
    assert reduced["py_modules"] == ["alignment_train_cpu_binding"]
    assert not any((tmp_path / name).exists() for name in hook.CLASSIFIERS)
    for name in hook.LEFT_OUT:
        source = (tmp_path / (name.replace(".", "/") + ".py")).read_text()
        with pytest.raises(ImportError, match=rf"{name} is left out .*To build all of fairseq"):
            exec(compile(source, name, "exec"))
    with pytest.raises(SystemExit, match="expects fairseq.data.data_utils_fast"):
        hook.reduced({**options, "ext_modules": options["ext_modules"][:-1]})
    sys.modules.pop("sitecustomize")


def test_what_fairseq_lacks_here_is_told_in_a_sentence():
    """The environment of these tests is the set-up's: training's modules are there, others not."""
    program = """
for name in ("fairseq.data.data_utils_fast", "fairseq.data.token_block_utils_fast"):
    __import__(name)
try:
    from fairseq import libnat
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("fairseq.libnat is left out by this project's set-up")


@pytest.mark.slow
def test_a_process_that_trains_does_not_import_scikit_learn():
    program = "import sys, losschange_fairseq; print('sklearn' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT / "scripts"
    )
    assert done.stdout.split() == ["False"], done.stderr
