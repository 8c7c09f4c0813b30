"""What is shipped is whole: the wheel, the lock files, and a reason for each dependency."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distribution, requires
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


# -- the image ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dockerfile() -> list[list[str]]:
    """The instructions of the Dockerfile: a word, and its arguments as one text."""
    text = (CHECKOUT / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines()]
    return [line.split(None, 1) for line in lines if line and not line.startswith("#")]


def said(dockerfile: list[list[str]], word: str) -> list[str]:
    return [rest for first, rest in dockerfile if first == word]


def test_the_image_runs_as_nobody_and_names_no_host(dockerfile):
    """What is installed is what the lock names, from wherever the builder installs from."""
    assert said(dockerfile, "FROM") == ["python:3.11-slim AS build", "python:3.11-slim"]
    assert said(dockerfile, "USER") == ["10001:10001"]
    assert "://" not in (CHECKOUT / "Dockerfile").read_text()
    installs = [
        step
        for line in said(dockerfile, "RUN")
        for step in line.split("&&")
        if re.search(r"\binstall\b", step)
    ]
    assert len(installs) == 3
    for step in installs:
        assert "--no-deps" in step
        assert "--require-hashes" in step or "--no-index /wheel/*.whl" in step


def test_what_the_image_copies_is_there_to_be_copied(dockerfile):
    """Each file exists, and .dockerignore lets it and nothing else through."""
    copied = [
        name
        for rest in said(dockerfile, "COPY")
        if not rest.startswith("--from")
        for name in rest.split()[:-1]
    ]
    let_through = re.findall(r"(?m)^!(.+)", (CHECKOUT / ".dockerignore").read_text())
    assert sorted(copied) == sorted(let_through)
    assert all((CHECKOUT / name).exists() for name in copied)


def test_the_exchange_runs_on_what_the_image_holds_alone(dockerfile, tmp_path):
    """A dependency that the exchange begins to import would be missing in the image."""
    for name in names_of(dockerfile, "SERVES"):
        found = distribution(name)
        for top in {file.parts[0] for file in found.files or () if file.suffix in (".py", ".so")}:
            (tmp_path / top).symlink_to(found.locate_file(top))
    (tmp_path / "reconciler").symlink_to(CHECKOUT / "reconciler")
    started = (
        "from reconciler.paper import PaperExchange, __main__\n"
        "with PaperExchange(symbols=['XBTUSD']) as venue:\n"
        "    venue.trade('XBTUSD', 100)\n"
        "    print(venue.position('XBTUSD'))"
    )
    ran = subprocess.run(
        [sys.executable, "-S", "-c", started], env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (0, "100\n"), ran.stderr


def test_the_image_is_built_with_what_a_wheel_needs(dockerfile):
    """Hatchling and all that it requires, on this Python."""
    needed, left = set(), ["hatchling"]
    while left:
        needed.add(name := left.pop())
        for line in requires(name) or ():
            if "extra ==" not in line and "python_version <" not in line:
                left.append(re.match(r"[\w-]+", line)[0].lower())
    assert needed == names_of(dockerfile, "BUILDS")


def names_of(dockerfile: list[list[str]], argument: str) -> set[str]:
    """The names that an ARG lists, each of them in the lock."""
    (found,) = re.findall(rf'ARG {argument}="(.*)"', (CHECKOUT / "Dockerfile").read_text())
    names = set(found.split("|"))
    lock = (CHECKOUT / "scripts/lock/requirements.txt").read_text()
    assert all(re.search(rf"(?m)^{name}==", lock) for name in names)
    return names


# -- the wheel, used ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> dict[str, str]:
    """An environment in which Python finds the wheel's contents before this checkout."""
    folder = tmp_path_factory.mktemp("site")
    wheel.extractall(folder)
    return {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}


def test_pytest_finds_the_fixtures_of_the_wheel(installed, tmp_path):
    """Whoever installs the package has `paper_exchange` in the tests, without a word of set-up."""
    (tmp_path / "test_bot.py").write_text(
        "def test_it(paper_exchange):\n"
        "    import reconciler\n"
        f"    assert reconciler.__file__.startswith({installed['PYTHONPATH']!r})\n"
        "    paper_exchange.trade('XBTUSD', 100)\n"
        "    assert paper_exchange.position('XBTUSD') == 100\n"
    )
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_bot.py"],
        cwd=tmp_path, env=installed, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout
    assert "1 passed" in ran.stdout


def test_the_exchange_of_the_wheel_can_be_started(installed, tmp_path):
    """The light command is in the wheel, and a wrong option is told in a line."""
    ran = subprocess.run(
        [sys.executable, "-m", "reconciler.paper", "--port", "0", "--symbols", "DOGE"],
        cwd=tmp_path, env=installed, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (2, "")
    assert re.fullmatch(r"error: symbols must be of XBTUSD, .*; not \['DOGE'\]\n", ran.stderr)


def test_it_does_not_run_without_its_assertions() -> None:
    """With -O the fail-stop checks of the core would be gone: it says so and does not start."""
    ran = subprocess.run(
        [sys.executable, "-O", "-c", "import reconciler.core.step"], capture_output=True, text=True
    )
    assert ran.returncode == 1
    assert "Run Python without -O" in ran.stderr
