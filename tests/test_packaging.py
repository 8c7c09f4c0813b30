"""What is shipped is whole: the wheel, the lock files, and a reason for each dependency."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import reconciler

CHECKOUT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
LOCKS = ["requirements.txt", "requirements-test.txt"]
NEEDED = sorted(re.match(r"[\w-]+", line)[0].lower() for line in PROJECT["dependencies"])


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_has_the_migrations_inside_the_package(wheel):
    """An installed reconciler can make and upgrade its database without a checkout."""
    migrations = CHECKOUT / "migrations"
    ours = {
        f"reconciler/migrations/{path.relative_to(migrations).as_posix()}"
        for path in migrations.rglob("*")
        if path.is_file() and path.suffix in {".py", ".mako", ".ini", ".sql"}
    }
    shipped = {name for name in wheel.namelist() if name.startswith("reconciler/migrations/")}
    assert ours <= shipped


def test_the_wheel_has_the_whole_package_and_nothing_beside_it(wheel):
    """Every module and the mark that it is typed are shipped; tests and scripts are not."""
    ours = {
        path.relative_to(CHECKOUT).as_posix()
        for path in (CHECKOUT / "reconciler").rglob("*")
        if path.suffix in {".py", ".typed", ".html", ".css", ".js", ".svg", ".json"}
    }
    assert ours <= set(wheel.namelist())
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert tops == {"reconciler", f"bitmex_reconciler-{reconciler.__version__}.dist-info"}


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_file_holds_versions_and_hashes_and_no_address(name):
    """Any mirror will do to install from, and what it serves is checked."""
    text = (CHECKOUT / "scripts/lock" / name).read_text()
    assert "://" not in text
    assert "--index" not in text
    assert not re.search(r"(^|[ =])/", text)
    entries = re.split(r"\n(?=\S)", re.sub(r"(?m)^ +# .*\n?", "", text).strip())
    assert all(re.match(r"[\w.-]+==\S+ .*--hash=sha256:", e, re.DOTALL) for e in entries)
    names = {entry.split("==")[0].lower() for entry in entries}
    assert names >= {*NEEDED, "hatchling"}


def test_what_was_tested_is_what_runs():
    """Both lock files name the same version of everything that they share."""
    pins = [
        dict(re.findall(r"(?m)^([\w.-]+)==(\S+)", (CHECKOUT / "scripts/lock" / name).read_text()))
        for name in LOCKS
    ]
    assert pins[0].items() <= pins[1].items()


@pytest.mark.parametrize("name", NEEDED)
def test_each_dependency_has_its_reason(name):
    """The changelog says in a line why we carry each dependency."""
    text = (CHECKOUT / "CHANGELOG.md").read_text()
    assert re.search(rf"(?mi)^- `{re.escape(name)}`: \S", text)


def test_the_scripts_may_be_run():
    """What the README tells people to type can be typed."""
    scripts = [CHECKOUT / "scripts" / name for name in ("setup", "demo", "test", "check", "relock")]
    assert all(os.access(path, os.X_OK) for path in [*scripts, CHECKOUT / ".ci/run"])


def test_it_does_not_run_without_its_assertions() -> None:
    """With -O the fail-stop checks of the core would be gone: it says so and does not start."""
    ran = subprocess.run(
        [sys.executable, "-O", "-c", "import reconciler.core.step"], capture_output=True, text=True
    )
    assert ran.returncode == 1
    assert "Run Python without -O" in ran.stderr
