#!/usr/bin/env python3
"""Run a script of this bundle: bundle/run benchmarks/gpu_check.py --out found

The first call unpacks the wheels and the code into the folder `site` beside this file, which needs
no network and no pip; later calls find them unpacked. BUNDLE_SITE names another folder, such as one
on a local disk. The script then runs with this Python, the unpacked packages before its own.
"""

import errno
import hashlib
import json
import os
import platform
import re
import shutil
import sys
import time
import zipfile
from pathlib import Path

BUNDLE = Path(__file__).resolve().parent
FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class BundleError(Exception):
    """A problem of the bundle or of this machine; the message says what to do."""


def read_contents(bundle):
    """Read bundle.json; refuse another Python or machine than those that it is made for."""
    try:
        contents = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(f"{bundle} is no whole bundle ({error}); copy it again.") from None
    wanted, found = contents["python"], "{}.{}".format(*sys.version_info[:2])
    if found != wanted:
        raise BundleError(
            f"this bundle is for Python {wanted}, and {sys.executable} is Python {found}. Call it "
            f"with the right one, python{wanted} {bundle / 'run'} ..., or make the bundle again "
            f"with PYTHON_VERSION={found}."
        )
    machine = f"{sys.platform} {platform.machine()}"
    if machine != contents["machine"]:
        raise BundleError(
            f"this bundle is for {contents['machine']}, and this machine is {machine}; make it "
            "again with another PLATFORM."
        )
    return contents


def check_files(bundle, contents):
    """Refuse a bundle that lacks a file or holds a damaged one."""
    for name, digest in contents["files"].items():
        path = bundle / name
        if not path.is_file():
            raise BundleError(f"{path} is missing; copy the whole bundle again.")
        if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise BundleError(f"{path} is damaged; copy the bundle again.")


def check_target(contents, packages):
    """Refuse a Python that lacks packages which the bundle expects there."""
    from importlib import metadata  # missing in Python 3.7, which read_contents refuses before

    wrong = []
    sys.path.insert(0, str(packages))
    try:
        from packaging.specifiers import SpecifierSet  # one of the packages, or of the target
    except ImportError:
        SpecifierSet = None  # noqa: N806  (then `packaging` itself is reported as missing)

    for name, allowed in sorted(contents["counted_on"].items()):
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{name}{allowed}, and it has none")
        else:
            if SpecifierSet is not None and not SpecifierSet(allowed).contains(
                found, prereleases=True
            ):
                wrong.append(f"{name}{allowed}, and it has {found}")
    if wrong:
        raise BundleError(
            f"this bundle was made for a Python that has {'; '.join(wrong)}. Call it with another "
            f"than {sys.executable}, or make it again with what `pip freeze` prints there as HAVE."
        )


def site_of(bundle):
    """The folder that wheels are unpacked into: BUNDLE_SITE, or `site` beside them."""
    given = os.environ.get("BUNDLE_SITE")
    return Path(given).resolve() if given else bundle / "site"


def unpacked(bundle, contents, site):
    """Unpack the wheels and the code if necessary; the folder appears when it is complete."""
    mark = hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()
    stamp = site / ".bundle"
    if stamp.is_file() and stamp.read_text() == mark:
        return
    if site.exists() and not stamp.is_file() and any(site.iterdir()):
        raise BundleError(f"{site} holds something else; name an empty folder in BUNDLE_SITE.")
    check_files(bundle, contents)
    started = time.time()
    part = site.with_name(f"{site.name}.part-{os.getpid()}")
    try:
        part.mkdir(parents=True)
        for name in contents["files"]:
            target = "packages" if name.endswith(".whl") else "code"
            unpack(bundle / name, part / target)
        (part / ".bundle").write_text(mark)
        put_in_place(part, site, mark)
    except OSError as error:
        reason = "the disk is full" if error.errno in FULL_DISK else str(error)
        raise BundleError(
            f"the bundle could not be unpacked into {site} ({reason}): "
            f"{contents['unpacked'] / 1e6:.0f} MB are needed. Make room, or name another folder in "
            "BUNDLE_SITE."
        ) from None
    finally:
        shutil.rmtree(str(part), ignore_errors=True)
    sys.stderr.write(f"bundle: unpacked into {site} in {time.time() - started:.1f} s\n")


def unpack(path, folder):
    """Put the files of an archive into a folder; programs and headers of wheels are left out."""
    with zipfile.ZipFile(str(path)) as archive:
        for entry in archive.infolist():
            inside = re.match(r"[^/]+\.data/([^/]+)/", entry.filename)
            if inside and inside.group(1) not in ("purelib", "platlib"):
                continue
            entry.filename = entry.filename[inside.end() if inside else 0 :]
            if entry.filename:
                archive.extract(entry, str(folder))


def put_in_place(part, site, mark):
    """Rename the complete folder; keep one that another process made in the meantime."""
    if site.exists():
        stamp = site / ".bundle"
        if stamp.is_file() and stamp.read_text() == mark:
            return
        shutil.rmtree(str(site))
    try:
        os.rename(str(part), str(site))
    except OSError:
        stamp = site / ".bundle"
        if not stamp.is_file() or stamp.read_text() != mark:
            raise


def main(arguments):
    """Run a script with its arguments in place of this process."""
    if not arguments or arguments[0] in ("-h", "--help"):
        raise BundleError(__doc__.splitlines()[0])
    contents = read_contents(BUNDLE)
    site = site_of(BUNDLE)
    packages, code = site / "packages", site / "code"
    unpacked(BUNDLE, contents, site)
    check_target(contents, packages)
    inside = code / arguments[0]
    script = inside if inside.is_file() else Path(arguments[0])
    if not script.is_file():
        raise BundleError(f"{arguments[0]} is neither in {code} nor a file of its own.")
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    more = [str(packages), str(code / "scripts"), *given]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, more))
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, str(script), *arguments[1:]])


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except BundleError as problem:
        sys.stderr.write(f"error: {problem}\n")
        sys.exit(2)
