"""A bundle holds what its target lacks, runs there without network, and says what is wrong."""

import hashlib
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.markers import default_environment

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import bundle  # noqa: E402  (tools/ is no package: it runs before there is an environment)
import bundle_wheels  # noqa: E402
from bundle_choice import choose_packages, read_have  # noqa: E402
from machine_checks import SetUpError  # noqa: E402
from set_up import read_lock  # noqa: E402

from training_runs import command  # noqa: E402

TARGET = bundle.target_environment("3.12", "manylinux_2_28_x86_64")
NEEDS = {
    "trainer": ["torch>=1.13", "config==2.3", "bar; python_version < '3.12'", "audio"],
    "config": ["YAML>=5.1", "parser"],
    "cubes": ["numpy>=1.26", "frames[fast]>=2"],
    "frames": ["numpy>=1.23", "dates", "quick; extra == 'fast'", "slow; extra == 'slow'"],
    "torch": ["sympy", "yaml"],
}
THIS = "{}.{}".format(*sys.version_info)
SCRIPT = """
import sys
import brick
print(brick.NAME, *sys.argv[1:])
"""


def chosen(have, roots=("trainer", "cubes")):
    return choose_packages(roots, lambda name: NEEDS.get(name, ()), TARGET, read_have(have))


def test_without_a_list_everything_that_is_needed_is_carried():
    found = chosen("")
    needed = {"config", "audio", "yaml", "parser", "numpy", "frames", "dates", "quick", "sympy"}
    assert found.packages == tuple(sorted({"trainer", "cubes", "torch", *needed}))
    assert found.counted_on == {} == found.unfit


def test_what_the_target_has_is_left_out_with_what_it_alone_needs():
    found = chosen("torch, NumPy==2.0.1,frames")
    assert found.packages == ("audio", "config", "cubes", "parser", "trainer", "yaml")
    assert found.counted_on.keys() == {"torch", "numpy", "frames"}
    assert found.counted_on["torch"] == ">=1.13"


def test_a_version_that_a_carried_package_refuses_is_carried_too():
    found = chosen("torch,numpy==1.24,config==2.0")
    assert "numpy" in found.packages and "config" in found.packages
    assert found.unfit == {
        "numpy": "1.24, and cubes needs >=1.26",
        "config": "2.0, and trainer needs ==2.3",
    }
    assert found.counted_on == {"torch": ">=1.13"}


def test_a_list_is_names_or_a_file_as_pip_writes_it(tmp_path):
    file = tmp_path / "have.txt"
    file.write_text(
        "Package Version\n------- ----\ntorch    2.11.0+cu130\nPyYAML==6.0.1\n"
        "-e git+x\nown @ file:///somewhere\n# a remark\n"
    )
    assert read_have(str(file)) == {"torch": "2.11.0+cu130", "pyyaml": "6.0.1", "own": None}
    assert read_have("a,b_c==1.0") == {"a": None, "b-c": "1.0"}
    assert read_have("") == {}
    with pytest.raises(SetUpError, match=r"names the file lists/have\.txt, which does not exist"):
        read_have("lists/have.txt")
    with pytest.raises(SetUpError, match="'=2' is no name of a package"):
        read_have("torch,=2")


def test_the_scripts_need_what_training_needs_and_no_more():
    choice = choose_packages(
        bundle.roots(), bundle.requirements_of, TARGET, read_have("torch,numpy")
    )
    assert {"fairseq-fixed", "hydra-core", "netcdf4", "xarray"} <= set(choice.packages)
    assert not {"scipy", "scikit-learn", "matplotlib", "snakemake", "torch"} & set(choice.packages)
    assert choice.counted_on.keys() == {"torch", "numpy"}
    assert set(choice.packages) <= read_lock(ROOT / "requirements.lock").keys()


def test_platforms_are_those_whose_wheels_run_there():
    tags = bundle_wheels.platform_tags("manylinux_2_28_x86_64")
    assert tags[0] == "manylinux_2_28_x86_64" and "manylinux2014_x86_64" in tags
    assert "manylinux_2_31_x86_64" not in tags
    old = bundle_wheels.platform_tags("manylinux2014_aarch64")
    assert old[0] == "manylinux_2_17_aarch64" and "manylinux_2_28_aarch64" not in old
    assert bundle_wheels.machine_of("manylinux_2_28_x86_64") == "x86_64"
    assert bundle_wheels.machine_of("manylinux2014_aarch64") == "aarch64"
    with pytest.raises(SetUpError, match="'linux' is none that wheels are made for; give many"):
        bundle_wheels.platform_tags("linux")


def test_a_missing_interpreter_is_named_with_what_was_found(tmp_path):
    with pytest.raises(SetUpError) as error:
        bundle_wheels.find_python("3.99", [sys.executable, str(tmp_path / "python3.99")])
    assert "have to be built with Python 3.99, which was not found" in str(error.value)
    assert "python3.99 does not run" in str(error.value)
    assert "make bundle PYTHON=/path/to/python3.99" in str(error.value)


def write_wheel(folder, name="brick-1-py3-none-any.whl"):
    wheel = folder / name
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("brick/__init__.py", "from .deep import NAME\n")
        archive.writestr("brick/large/data.py", "x" * 1000)
        archive.writestr("brick/inner/tests/test_it.py", "")
        # Part of a wheel may lie in such a folder; programs there are of no use.
        archive.writestr("brick-1.data/purelib/brick/deep.py", "NAME = 'unpacked'\n")
        archive.writestr("brick-1.data/scripts/brick", "#!python\n")
        record = "brick/__init__.py,,\nbrick/large/data.py,,\nbrick/inner/tests/test_it.py,,\n"
        archive.writestr("brick-1.dist-info/RECORD", record)
    return wheel


def test_a_wheel_loses_its_tests_and_what_is_named(tmp_path):
    wheel = write_wheel(tmp_path)
    before = wheel.read_bytes()
    with pytest.raises(SetUpError, match="has no brick/absent"):
        bundle_wheels.reduce_wheel(wheel, ("brick/large/", "brick/absent.py"))
    assert wheel.read_bytes() == before and list(tmp_path.iterdir()) == [wheel]
    bundle_wheels.reduce_wheel(wheel, ("brick/large/",))
    with zipfile.ZipFile(wheel) as archive:
        assert [name for name in archive.namelist() if "large" in name or "tests" in name] == []
        assert archive.read("brick-1.dist-info/RECORD") == b"brick/__init__.py,,\n"


def test_tokens_that_are_not_there_are_told(tmp_path):
    run = tmp_path / "results" / "mine"
    with pytest.raises(SetUpError, match="holds no complete token ids; make them"):
        bundle.copy_tokens(run, tmp_path / "copy")
    (run / "tokens" / "text.en").mkdir(parents=True)
    with pytest.raises(SetUpError, match=r"tokens/text\.en holds no complete"):
        bundle.copy_tokens(run, tmp_path / "copy")
    (run / "tokens" / "text.en" / "tokens.json").write_text("{}")
    bundle.copy_tokens(run, tmp_path / "copy")
    assert (tmp_path / "copy" / "results" / "mine" / "tokens" / "text.en").is_dir()


def test_only_a_bundle_is_replaced(tmp_path):
    made, place = tmp_path / "made", tmp_path / "place"
    made.mkdir()
    (made / "bundle.json").write_text("{}")
    place.mkdir()
    (place / "mine.txt").touch()
    with pytest.raises(SetUpError, match="place is no bundle"):
        bundle.put_in_place(made, place)
    (place / "mine.txt").rename(place / "bundle.json")
    bundle.put_in_place(made, place)
    assert not made.exists() and (place / "bundle.json").read_text() == "{}"


@pytest.fixture
def small(tmp_path):
    """A made-up bundle, as `make_bundle` leaves it."""
    folder = tmp_path / "bundle"
    (folder / "wheels").mkdir(parents=True)
    write_wheel(folder / "wheels")
    with zipfile.ZipFile(folder / "code.zip", "w") as archive:
        archive.writestr("scripts/say_name.py", SCRIPT)
    choice = choose_packages((), lambda name: (), TARGET, {})
    bundle.write_contents(folder, THIS, f"manylinux_2_28_{platform.machine()}", choice)
    shutil.copy(ROOT / "tools" / "bundle_run.py", folder / "run")
    return folder


def change(folder, **changes):
    """Change what bundle.json says."""
    path = folder / "bundle.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def start(folder, *arguments, before=(), **options):
    call = [*before, sys.executable, str(folder / "run"), *arguments]
    environment = {"PATH": os.environ["PATH"], **options.pop("environment", {})}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(call, env=environment, **pipes, **options)


def told(folder, *arguments, **options):
    """(status, output, errors) of a call."""
    process = start(folder, *arguments, **options)
    output, errors = process.communicate()
    assert "Traceback" not in errors, errors
    return process.returncode, output, errors


def without_network():
    """The start of a command that runs without network, where this user may do so."""
    call = ["unshare", "--map-root-user", "--net"]
    can = shutil.which("unshare") and subprocess.run([*call, "true"], capture_output=True)
    return call if can and can.returncode == 0 else []


def test_a_bundle_unpacks_itself_once_and_runs_its_script_without_network(small):
    call = (small, "scripts/say_name.py", "--count", "2")
    assert told(*call, before=without_network())[:2] == (0, "unpacked --count 2\n")
    site = small / "site"
    assert not (site / "packages" / "bin").exists() and not (site / "packages" / "scripts").exists()
    before = (site / "packages" / "brick" / "deep.py").stat().st_ino
    assert told(*call) == (0, "unpacked --count 2\n", "")
    assert (site / "packages" / "brick" / "deep.py").stat().st_ino == before
    # A bundle that was made again takes the place of the one that was unpacked.
    change(small, unpacked=7)
    assert told(*call)[0] == 0 and not list(small.glob("site.part*"))
    assert (site / "packages" / "brick" / "deep.py").stat().st_ino != before


def test_a_script_of_one_s_own_runs_from_a_folder_that_is_named(small, tmp_path):
    own = tmp_path / "own.py"
    own.write_text("import brick, say_name\n")
    named = {"BUNDLE_SITE": str(tmp_path / "local" / "disk")}
    assert told(small, str(own), environment=named)[:2] == (0, "unpacked\n")
    assert not (small / "site").exists()


def test_two_first_calls_at_once_share_what_one_unpacked(small):
    both = [start(small, "scripts/say_name.py") for _ in range(2)]
    assert [process.communicate()[0] for process in both] == ["unpacked\n"] * 2
    assert [path.name for path in small.glob("site*")] == ["site"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"python": "3.9"}, f"is for Python 3.9, and {sys.executable} is Python {THIS}"),
        ({"machine": "linux m68k"}, "this bundle is for linux m68k, and this machine is linux"),
        ({"counted_on": {"absent": ">=2"}}, "a Python that has absent>=2, and it has none"),
        ({"counted_on": {"packaging": "<1"}}, "that has packaging<1, and it has 2"),
    ],
)
def test_a_machine_that_it_was_not_made_for_is_told(changes, message, small):
    change(small, **changes)
    status, output, errors = told(small, "scripts/say_name.py")
    assert (status, output) == (2, "") and message in errors, errors


def test_a_damaged_bundle_is_told(small):
    wheel = small / "wheels" / "brick-1-py3-none-any.whl"
    wheel.write_bytes(wheel.read_bytes()[:-1])
    assert "brick-1-py3-none-any.whl is damaged; copy" in told(small, "scripts/say_name.py")[2]
    wheel.unlink()
    assert "brick-1-py3-none-any.whl is missing; copy" in told(small, "scripts/say_name.py")[2]
    (small / "bundle.json").write_text("{")
    assert "is no whole bundle (" in told(small, "scripts/say_name.py")[2]


def test_a_script_that_is_not_there_is_told(small):
    status, _, errors = told(small, "scripts/none.py")
    assert status == 2 and "scripts/none.py is neither in" in errors


def test_a_full_disk_is_told_and_leaves_nothing(small):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    status, _, errors = told(small, "scripts/say_name.py", preexec_fn=limit)
    assert status == 2 and "(the disk is full): 0 MB are needed. Make room" in errors
    assert list(small.glob("site*")) == []
    (small / "site").mkdir()
    (small / "site" / "mine.txt").touch()
    assert "holds something else; name an empty" in told(small, "scripts/say_name.py")[2]


def test_the_contents_name_every_file_with_its_digest(small):
    contents = json.loads((small / "bundle.json").read_text())
    assert set(contents["files"]) == {"code.zip", "wheels/brick-1-py3-none-any.whl"}
    for name, digest in contents["files"].items():
        assert hashlib.sha256((small / name).read_bytes()).hexdigest() == digest


@pytest.mark.slow
def test_a_training_runs_with_what_is_carried_alone(tmp_path, tokens):
    """Of the packages that are installed here, those that a bundle holds or counts on."""
    choice = choose_packages(
        bundle.roots(), bundle.requirements_of, default_environment(), read_have("")
    )
    site = tmp_path / "site"
    site.mkdir()
    for name in choice.packages:
        files = distribution(name).files
        for top in {file.parts[0] for file in files if file.parts[0] not in ("..", "__pycache__")}:
            place = Path(distribution(name).locate_file(top))
            if top != "fairseq" and not (site / top).exists():
                (site / top).symlink_to(place)
            elif top == "fairseq":
                copy_without(place, site / top, bundle_wheels.LEFT_OUT)
    call = [word for word in command(tmp_path, "clm", tokens, total_updates=5) if word != "-B"]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(site)}
    # -S hides the interpreter's own packages, and leaves out `help`, which fairseq reads.
    program = (
        "import os, runpy, site, sys; site.sethelper(); del sys.argv[0]; "
        "sys.path[0] = os.path.dirname(sys.argv[0]); runpy.run_path(sys.argv[0], None, '__main__')"
    )
    done = subprocess.run(
        [call[0], "-S", "-c", program, *call[1:]], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "cube").is_file()


def copy_without(folder, target, left_out):
    """Copy a package without some of its files and folders."""
    gone = [folder.parent / name for name in left_out]
    shutil.copytree(
        folder,
        target,
        ignore=lambda place, names: [name for name in names if Path(place, name) in gone],
    )
    # The project's own set-up leaves some of them out, too.
    assert any(path.exists() for path in gone), "another version of the package"
