"""Rules of the code: allowed imports, largest lengths of files, and forbidden words."""

import ast
import fnmatch
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "scripts"
MODULES = sorted(SCRIPTS.rglob("*.py"))
ENTRY_POINTS = sorted(SCRIPTS.glob("*.py"))
PACKAGES = [path for path in MODULES if path.parent != SCRIPTS]
MODULE_LINES, SCRIPT_LINES = 300, 100

# Apart from the plug-in itself: token ids in fairseq's format, evaluation, and the handle through
# which every analysis sees a trained model.
ROOMS = {"common", "running", "text", "training", "report", "studies"}
HANDLE = ("fairseq_stacks", "loading", "sentence_batches", "trained_model")
FAIRSEQ_USERS = {"text/binarisation.py", "training/quality.py"}
FAIRSEQ_USERS |= {f"training/{name}.py" for name in HANDLE}

TEXT_SUFFIXES = {
    "", ".py", ".md", ".yaml", ".yml", ".toml", ".cff", ".smk", ".in", ".lock", ".txt", ".html",
    ".csv", ".tex", ".css", ".json", ".sh", ".js",
}  # fmt: skip


def named(path):
    return str(path.relative_to(ROOT))


def imports(path, tree=None):
    """All modules that a file (or a part of it) imports, at any depth, as absolute names."""
    package = list(path.relative_to(SCRIPTS).with_suffix("").parts[:-1])
    for node in ast.walk(tree or ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def tops(path):
    return {name.partition(".")[0] for name in imports(path)}


def our_files():
    """All files of the repository, without what .gitignore names and .git itself."""
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    patterns = [pattern.strip("/") for pattern in ignored] + [".git"]
    folders = [ROOT]
    while folders:
        for path in sorted(folders.pop().iterdir()):
            if any(fnmatch.fnmatch(path.name, pattern) for pattern in patterns):
                continue
            if path.is_dir():
                folders.append(path)
            elif path.suffix in TEXT_SUFFIXES:
                yield path


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_imports_point_downwards(path):
    place = path.relative_to(SCRIPTS)
    used = tops(path)
    assert "snakemake" not in used
    if place.parts[0] == "losschange":
        assert not used & {"fairseq", "losschange_fairseq", *ROOMS}
    if place.parts[:2] == ("losschange", "plots"):
        assert not used & {"xarray", "netCDF4", "pathlib", "os", "torch"}
    if place.parts[0] == "losschange_fairseq":
        assert not used & ROOMS
    elif place.as_posix() not in FAIRSEQ_USERS:
        assert "fairseq" not in used
    if "matplotlib" in used and place.parts[0] == "losschange":
        assert place.parts[1] == "plots"


def test_no_two_rooms_import_each_other():
    """A room imports only from rooms above its row in the table of docs/explanation/code.md.

    What a study's folder holds is found by the folder's name (common.study_modules), so that
    adding a study touches no other room: that is the only exception.
    """
    tour = (ROOT / "docs/explanation/code.md").read_text(encoding="utf-8")
    rooms = re.findall(r"^\| `scripts/(\w+)/` \|", tour, re.M)
    assert sorted(rooms) == sorted({path.relative_to(SCRIPTS).parts[0] for path in PACKAGES})
    upwards = {}
    for path in PACKAGES:
        room = path.relative_to(SCRIPTS).parts[0]
        if found := tops(path) & {*rooms[rooms.index(room) + 1 :]}:
            upwards[named(path)] = found
    assert upwards == {}
    discovering = [path for path in PACKAGES if '"studies.' in path.read_text()]
    assert [named(path) for path in discovering] == ["scripts/common/study_modules.py"]


def imports_at_start(path):
    """What a file imports when it is imported itself, outside of functions and TYPE_CHECKING."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    late = ast.FunctionDef | ast.AsyncFunctionDef | ast.If
    kept = ast.Module([node for node in tree.body if not isinstance(node, late)], [])
    return set(imports(path, kept))


def test_no_modules_import_each_other_in_a_circle():
    names = {".".join(path.relative_to(SCRIPTS).with_suffix("").parts): path for path in MODULES}
    names = {name.removesuffix(".__init__"): path for name, path in names.items()}
    waiting = {name: imports_at_start(path) & names.keys() - {name} for name, path in names.items()}
    while free := {name for name, wanted in waiting.items() if not wanted}:
        waiting = {name: wanted - free for name, wanted in waiting.items() if name not in free}
    assert waiting == {}


def test_no_room_imports_a_single_study():
    """A study is found by its name in the configuration; only its own scripts import it."""
    folders = {path.name for path in (SCRIPTS / "studies").iterdir() if path.is_dir()}
    for path in MODULES:
        if path not in ENTRY_POINTS and path.relative_to(SCRIPTS).parts[0] != "studies":
            found = [name for name in imports(path) if name.startswith("studies.")]
            assert not {name.split(".")[1] for name in found} & folders, named(path)


def test_text_and_training_know_no_study_and_no_report():
    for path in MODULES:
        if path.relative_to(SCRIPTS).parts[0] in ("text", "training"):
            assert not tops(path) & {"studies", "report"}, named(path)


def test_no_object_gets_another_class_and_the_allocator_is_left_alone():
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"__class__ = |mallopt|malloc_trim|PYTORCH_\w*ALLOC_CONF", text), path


def test_no_module_imports_a_script():
    names = {path.stem for path in ENTRY_POINTS}
    assert {named(path): tops(path) & names for path in MODULES if tops(path) & names} == {}


def test_files_are_short_enough_to_read_in_one_sitting():
    too_long = {}
    for path in MODULES:
        limit = SCRIPT_LINES if path.parent == SCRIPTS else MODULE_LINES
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines >= limit:
            too_long[named(path)] = f"{lines} lines, allowed are fewer than {limit}"
    assert too_long == {}


def test_everything_public_has_a_docstring():
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    missing = []
    for path in MODULES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        bodies = [(path.stem, tree)]
        if not ast.get_docstring(tree):
            missing.append(named(path))
        while bodies:
            owner, body = bodies.pop()
            for node in body.body:
                if not isinstance(node, kinds) or node.name.startswith("_"):
                    continue
                public_method = isinstance(body, ast.ClassDef)
                # `main` of a script is described by the script's docstring, an overridden
                # method by its base class.
                described = (node.name == "main" and path in ENTRY_POINTS) or (
                    public_method and body.bases
                )
                if not ast.get_docstring(node) and not described:
                    missing.append(f"{named(path)}: {owner}.{node.name}")
                if isinstance(node, ast.ClassDef):
                    bodies.append((node.name, node))
    assert missing == []


def test_scripts_are_named_verb_noun_and_hide_no_standard_module():
    for path in ENTRY_POINTS:
        assert re.fullmatch(r"[a-z]+(_[a-z0-9]+)+", path.stem), named(path)
        assert path.stem not in sys.stdlib_module_names


def test_paths_that_the_readme_and_the_page_of_the_code_name_exist():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    tour = (ROOT / "docs/explanation/code.md").read_text(encoding="utf-8")
    paths = re.findall(r"`([\w./-]+[./][\w./-]*|Snakefile|Makefile)`", tour)
    assert len(paths) >= 10
    pictures = re.findall(r"!\[[^]]*\]\(([^)#]+)\)", readme)
    made = [path for path in paths if path.startswith("results/")]
    wanted = [path for path in paths + pictures if path not in made]
    assert [path for path in wanted if not (ROOT / path).exists()] == []


def test_the_lock_pins_every_direct_requirement_with_hashes():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [*project["project"]["dependencies"]]
    for group in project["project"]["optional-dependencies"].values():
        wanted += group
    for group in project["dependency-groups"].values():
        wanted += group
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert set(re.search("^GROUPS := (.*)$", makefile, re.M)[1].split()) == set(
        project["dependency-groups"]
    )
    names = {re.split(r"[\[<>=]", name)[0].lower() for name in wanted}
    # An extra of the library that brings fifteen packages; its test runs where it is installed.
    names -= {"wandb"}
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pins = re.split(r"^(?=[a-z])", lock, flags=re.MULTILINE)[1:]
    assert names - {pin.partition("==")[0] for pin in pins} == set()
    assert [pin for pin in pins if "--hash=sha256:" not in pin] == []
    assert "+" not in lock, "a local version such as +cpu is not the same on every machine"


def test_the_library_is_installed_with_all_that_it_imports():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(name for extra in extras for name in extra)]
    # The Trainer asks for accelerate by itself, PyTorch for tensorboard; the library names neither.
    declared = {re.split("[<>=]", name)[0] for name in wanted} - {"accelerate", "tensorboard"}
    library = [path for path in MODULES if path.is_relative_to(SCRIPTS / "losschange")]
    used = set().union(*(tops(path) for path in library)) - sys.stdlib_module_names
    assert used - {"losschange"} == declared


def test_no_file_names_a_package_registry_or_a_path_of_one_machine():
    # written in halves, so that this file is not found itself
    hosts = ["py" + "pi.org", "python" + "hosted.org", "download.py" + "torch.org"]
    hosts += ["ana" + "conda.", "conda" + "-forge.org", "npm" + "js.", "crates" + ".io"]
    folders = [rf"(?<![\w.]){folder}" for folder in ("/wo" + "rk/", "/tm" + "p/", "/ro" + "ot/")]
    forbidden = re.compile("|".join([*map(re.escape, hosts), *folders]))
    found = []
    for path in our_files():
        lines = path.read_text(encoding="utf-8").splitlines()
        found += [
            f"{named(path)}:{number}: {match.group()}"
            for number, line in enumerate(lines, 1)
            if (match := forbidden.search(line))
        ]
    assert found == []
