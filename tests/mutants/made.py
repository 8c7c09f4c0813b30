"""
Mutants: a module with one of its guards changed, each a guard that a test has to miss.

Changed are conditions (never, always, without one of its parts, turned round, and, if asked for,
the border moved by one), and the choice between `min` and `max`, `any` and `all`.
"""

from __future__ import annotations

import ast
from typing import NamedTuple

SIGNS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
    ast.In: "in", ast.NotIn: "not in", ast.Is: "is", ast.IsNot: "is not",
}  # fmt: skip
MOVED = {
    "<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==",
    "in": "not in", "not in": "in", "is": "is not", "is not": "is",
}  # fmt: skip


class Mutant(NamedTuple):
    """One change of one module."""

    line: int
    before: str
    after: str
    text: bytes  # of the whole module

    @property
    def shown(self) -> str:
        """For people, in a line."""
        return f"{self.line}: {_short(self.before)}  ->  {_short(self.after)}"


def _short(text: str) -> str:
    return " ".join(text.split())[:110]


def mutants(text: bytes, borders: bool = False) -> list[Mutant]:
    """All mutants of a module, from its first line to its last, each once."""
    made = Maker(text, borders)
    made.visit(ast.parse(text))
    found = {mutant.text: mutant for mutant in sorted(made.found, key=lambda one: one.line)}
    return list(found.values())


class Maker(ast.NodeVisitor):
    """Walks through a module and changes it in one place at a time."""

    def __init__(self, text: bytes, borders: bool) -> None:
        self.text = text
        self.borders = borders
        self.found: list[Mutant] = []
        self.starts = [0]
        for line in text.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))

    def _span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        first = self.starts[node.lineno - 1] + node.col_offset
        return first, self.starts[node.end_lineno - 1] + node.end_col_offset

    def _words(self, node: ast.expr | ast.stmt) -> str:
        first, last = self._span(node)
        return self.text[first:last].decode()

    def _put(self, node: ast.expr | ast.stmt, words: str) -> None:
        first, last = self._span(node)
        whole = self.text[:first] + words.encode() + self.text[last:]
        self.found.append(Mutant(node.lineno, self._words(node), words, whole))

    # -- conditions

    def _condition(self, test: ast.expr) -> None:
        """An answer that is always the same."""
        for answer in ("(True)", "(False)"):
            self._put(test, answer)

    def visit_If(self, node: ast.If) -> None:
        self._condition(node.test)
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        self._put(node.test, "(False)")
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._condition(node.test)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for test in node.ifs:
            self._condition(test)
        self.generic_visit(node)

    def visit_Assert(self, node: ast.Assert) -> None:
        """An assertion says what cannot be; nothing can miss it."""

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        word = " and " if isinstance(node.op, ast.And) else " or "
        for left_out in node.values:
            rest = [f"({self._words(one)})" for one in node.values if one is not left_out]
            self._put(node, f"({word.join(rest)})")
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        signs = [SIGNS[type(op)] for op in node.ops]
        for number, sign in enumerate(signs):
            if not self.borders and sign in ("<", "<=", ">", ">="):
                continue
            changed = [*signs[:number], MOVED[sign], *signs[number + 1 :]]
            words = self._words(node.left)
            for one, operand in zip(changed, node.comparators, strict=True):
                words += f" {one} {self._words(operand)}"
            self._put(node, f"({words})")
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            self._put(node, f"bool({self._words(node.operand)})")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        other = {"min": "max", "max": "min", "any": "all", "all": "any"}
        if isinstance(node.func, ast.Name) and node.func.id in other:
            self._put(node.func, other[node.func.id])
        self.generic_visit(node)
