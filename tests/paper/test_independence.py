"""The paper exchange is a reading of its own: it leans on nothing else of the project."""

import ast
from pathlib import Path

import reconciler.paper

FOLDER = Path(reconciler.paper.__file__).parent


def imported(path):
    """(level, top name) of every import in a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or ""


def test_nothing_of_ours_is_imported():
    """No module imports `reconciler` or climbs out of the folder."""
    for path in FOLDER.glob("*.py"):
        for level, name in imported(path):
            assert level <= 1, path
            assert not name.startswith("reconciler"), path


def test_the_server_library_is_known_to_the_server():
    """uvicorn comes in by one door, asyncio is the server's, msgspec the protocol's."""
    doors = {"uvicorn": {"uvicorn_door"}, "websockets": {"uvicorn_door"},
             "asyncio": {"server", "sockets"}, "msgspec": {"protocol"}}  # fmt: skip
    for library, homes in doors.items():
        users = {
            path.stem
            for path in FOLDER.glob("*.py")
            if any(name.split(".")[0] == library for _, name in imported(path))
        }
        assert users == homes


def test_modules_and_functions_stay_small():
    """No module is longer than 450 lines, no function longer than 80."""
    for path in FOLDER.glob("*.py"):
        text = path.read_text()
        assert text.count("\n") <= 450, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 80, (path, node.name)
