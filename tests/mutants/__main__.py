"""
The command behind `scripts/mutants`: which guard could be pulled out without a test missing it?

The stories and the core's own tests are collected once. Then, one mutant at a time, a child process
takes the mutant's code into the functions of the module and runs the tests until one fails.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import _lru_cache_wrapper, cached_property
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

import pytest

from tests.mutants.made import Mutant, mutants

CHECKOUT = Path(__file__).resolve().parents[2]
TESTS = ("tests/stories", "tests/core")
#: They run the checkout's files, or take guards away themselves: no judges of a mutant.
NO_JUDGES = ("test_the_same_in_every_process", "test_without_this_guard_some_seed_breaks_a_promise")
LONGEST_S = 20  # for one test: a mutant that never ends is noticed, too


def functions(module: ModuleType) -> Iterator[FunctionType]:
    """Every function of *module*, of its classes, and of its tables."""
    for thing in list(vars(module).values()):
        if isinstance(thing, dict):
            own = (one for one in thing.values() if isinstance(one, FunctionType))
            yield from (one for one in own if one.__code__.co_filename == module.__file__)
        if getattr(thing, "__module__", "") != module.__name__:
            continue
        inside = vars(thing).values() if isinstance(thing, type) else (thing,)
        for one in inside:
            one = one.fget if isinstance(one, property) else getattr(one, "__func__", one)
            one = one.func if isinstance(one, cached_property) else getattr(one, "__wrapped__", one)
            if isinstance(one, FunctionType) and one.__code__.co_filename == module.__file__:
                yield one


def codes(whole: CodeType) -> dict[str, CodeType]:
    """The code of every function in the code of a module, by its qualified name."""
    found: dict[str, CodeType] = {}
    for constant in whole.co_consts:
        if isinstance(constant, CodeType):
            found[named(constant)] = constant
            found.update(codes(constant))
    return found


def named(code: CodeType) -> str:
    """A name that no other code of the module has: of lambdas, with the line."""
    line = code.co_firstlineno if code.co_name == "<lambda>" else ""
    return f"{code.co_qualname} {line}"


def plant(module: ModuleType, mutant: Mutant) -> None:
    """Have *module* do as *mutant* says, whoever has imported its functions already."""
    changed = codes(compile(mutant.text, str(module.__file__), "exec"))
    for function in functions(module):
        function.__code__ = changed[named(function.__code__)]
    for thing in vars(module).values():
        if isinstance(thing, _lru_cache_wrapper):
            thing.cache_clear()  # what the code before has found


class Trial:
    """A pytest plugin: instead of one run of the tests, one run for each mutant."""

    def __init__(self, wanted: argparse.Namespace) -> None:
        self.wanted = wanted
        self.texts = {path: (CHECKOUT / path).read_bytes() for path in wanted.modules}
        self.ends = Counter[str]()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if not item.name.startswith(NO_JUDGES)]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Every mutant of every module."""
        if session.testsfailed or self._noticed(session, None):
            pytest.exit("the tests fail without any mutant", returncode=2)
        for path, text in self.texts.items():
            name = path.removesuffix(".py").replace("/", ".")
            module = importlib.import_module(name)
            for mutant in mutants(text, self.wanted.borders):
                if self.wanted.line and mutant.line not in self.wanted.line:
                    continue
                by = self._noticed(session, (module, mutant))
                self.ends[by or "nobody"] += 1
                if not by:
                    os.write(1, f"nobody notices {path}:{mutant.shown}\n".encode())
        return True

    def _noticed(self, session: pytest.Session, planted: tuple[ModuleType, Mutant] | None) -> str:
        """Which kind of test notices, "" if none does. In a child: nothing is left behind."""
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.write(writer, b"." + first_failure(session, planted).encode())
            finally:
                os._exit(0)
        os.close(writer)
        os.waitpid(child, 0)
        with os.fdopen(reader) as said:
            by = said.read()
        return by[1:] if by else "the end of the process"  # out of memory, or stopped by its watch


def first_failure(session: pytest.Session, planted: tuple[ModuleType, Mutant] | None) -> str:
    """The folder of the first test that fails, "" if none does."""
    session.config.pluginmanager.unregister(name="terminalreporter")
    if planted is not None:
        plant(*planted)
    for item, after in zip(session.items, [*session.items[1:], None], strict=True):
        item.ihook.pytest_runtest_protocol(item=item, nextitem=after)
        if session.testsfailed:
            return item.nodeid.split("/")[1]
    return ""


def main() -> None:
    """Try them all; ends with 1 when one is left that nobody notices."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", help="paths; the whole core, if none is given")
    parser.add_argument("--borders", action="store_true", help="move borders by one, too")
    parser.add_argument("--line", type=int, action="append", help="only those of this line")
    parser.add_argument("--tests", nargs="+", default=TESTS, help="who judges")
    wanted = parser.parse_args()
    wanted.modules = wanted.modules or sorted(
        str(path.relative_to(CHECKOUT)) for path in (CHECKOUT / "reconciler/core").rglob("*.py")
    )
    began, trial = time.monotonic(), Trial(wanted)
    options = ["-q", "-n0", "-p", "no:cacheprovider", "--no-summary", f"--timeout={LONGEST_S}"]
    code = pytest.main([*options, *wanted.tests], plugins=[trial])
    shown = ", ".join(f"{number} by {who}" for who, number in trial.ends.most_common())
    print(f"{trial.ends.total()} mutants, noticed: {shown}; {time.monotonic() - began:.0f} s")
    sys.exit(code or bool(trial.ends["nobody"]))


if __name__ == "__main__":
    main()
