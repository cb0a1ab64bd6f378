"""No SQL is put together from texts: whatever goes to the database is seen here, and where it comes from.

Allowed are a literal, a statement of a .sql file by its name, a composition of ``psycopg.sql`` and what SQLAlchemy
builds. An f-string, ``+``, ``%``, ``.format`` or ``.join`` of texts, and a text from elsewhere, are not.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ROOT / "replicator"
MODULES = sorted(
    path for path in PRODUCT.rglob("*.py") if not {"migrations", "sandbox"} & set(path.relative_to(PRODUCT).parts)
)
"""Without the revisions, which are frozen, and the sandbox, which has a database of its own."""

METHODS = {"execute", "executemany", "exec_driver_sql", "copy", "scalar", "scalars"}
"""Methods of connections and cursors whose first argument is SQL;"""
MAKERS = {"text", "literal_column", "DDL", "SQL"}
"""functions of SQLAlchemy and psycopg whose first argument is taken as SQL as it stands."""
LIBRARIES = {"sa", "sql", "psycopg", "postgresql"}
BUILDERS = {
    "delete", "insert", "limit", "on_conflict_do_nothing", "on_conflict_do_update", "returning", "select", "update",
    "values", "where",
}  # fmt: skip
"""Methods of SQLAlchemy's statements; no text has one of these names."""
TEXTS = {"str", "bytes", "Any", "object", ""}
CONTAINERS = {"Iterable", "Iterator", "list", "tuple", "dict", "Mapping", "Sequence"}

EXCEPTIONS = {
    "replicator/hub/rehearsal.py: cursor.execute(_sql[name].text.encode())": "a statement by its name, for the driver",
    "replicator/hub/statements.py: sa.text(body)": "the blocks of .sql files themselves, found by package and name",
    "replicator/inbound/merge.py: self.hub.connection.exec_driver_sql(into_work(query))": "what SQLAlchemy compiled",
    "replicator/mapping/tables.py: sa.text(default)": "a value as SQLAlchemy writes it out",
    "replicator/solution/sql_text.py: sql.SQL(piece)": "what stands between the placeholders of the hub's .sql files",
    "replicator/solution/sql_text.py: sql.SQL(text)": "what SQLAlchemy compiled, for the body of a view",
}
"""Every place that takes a text from elsewhere, and why that is none that somebody could have written."""

Scope = ast.FunctionDef | ast.Lambda | ast.Module
Comprehension = ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp


def name_of(node: ast.AST) -> str:
    """The last part of a dotted name."""
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def may_be_text(annotation: ast.expr | None) -> bool:
    """Whether something annotated so may be a text from anywhere; a ``LiteralString`` is asked of those who give it."""
    if isinstance(annotation, ast.BinOp):
        return may_be_text(annotation.left) or may_be_text(annotation.right)
    if isinstance(annotation, ast.Constant):
        return annotation.value is not None and may_be_text(ast.parse(str(annotation.value), mode="eval").body)
    if isinstance(annotation, ast.Subscript) and name_of(annotation.value) in CONTAINERS:
        inner = annotation.slice
        return any(map(may_be_text, inner.elts[-1:] if isinstance(inner, ast.Tuple) else [inner]))
    if isinstance(annotation, ast.Subscript):
        return may_be_text(annotation.value)
    return annotation is None or name_of(annotation) in TEXTS


class Program:
    """All modules by their paths, with what their functions return, and how attributes of their classes are typed."""

    def __init__(self, modules: Mapping[str, ast.Module]) -> None:
        self.modules = modules
        self.functions: dict[tuple[str, str], list[ast.expr | None]] = {}
        self.methods: dict[str, list[ast.expr | None]] = {}
        self.attributes: dict[str, list[ast.expr | None]] = {}
        self.literal: dict[str, set[int]] = {}
        """Where a function takes a ``LiteralString``: its callers are asked."""
        for path, module in modules.items():
            for node in ast.walk(module):
                if isinstance(node, ast.FunctionDef):
                    self._note(path, node)
                elif isinstance(node, ast.ClassDef):
                    for field in (each for each in node.body if isinstance(each, ast.AnnAssign)):
                        self.attributes.setdefault(name_of(field.target), []).append(field.annotation)
            for made in (each for each in module.body if isinstance(each, ast.Assign)):
                if isinstance(made.value, ast.Call) and name_of(made.value.func) == "built_once":
                    built = self.functions.get((path, name_of(made.value.args[0])), [None])
                    self.functions[path, name_of(made.targets[0])] = built

    def _note(self, path: str, function: ast.FunctionDef) -> None:
        self.functions.setdefault((path, function.name), []).append(function.returns)
        self.methods.setdefault(function.name, []).append(function.returns)
        taken = [each for each in function.args.args if each.arg != "self"]
        places = {at for at, each in enumerate(taken) if name_of(each.annotation or each) == "LiteralString"}
        if places:
            self.literal[function.name] = places


class Origins:
    """Where the SQL of one module comes from."""

    def __init__(self, program: Program, path: str) -> None:
        self.program, self.path, self.module = program, path, program.modules[path]
        self._above = {child: node for node in ast.walk(self.module) for child in ast.iter_child_nodes(node)}
        self._libraries = {
            alias.asname or alias.name
            for node in ast.walk(self.module)
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in ("sqlalchemy", "psycopg")
            for alias in node.names
        }
        self._asked: set[ast.expr] = set()
        self._owned: dict[Scope, list[ast.AST]] = {}

    def wrong(self) -> Iterator[str]:
        """The calls that are given SQL which is put together from texts, or comes from elsewhere."""
        for node in ast.walk(self.module):
            if isinstance(node, ast.Call) and not all(map(self.known, self._taken(node))):
                yield f"{self.path}: {ast.unparse(node)}"

    def _taken(self, call: ast.Call) -> Iterable[ast.expr]:
        """The arguments of a call that go to the database as SQL."""
        name, first = name_of(call.func), call.args[:1]
        if isinstance(call.func, ast.Attribute):
            maker = name in MAKERS and name_of(call.func.value) in LIBRARIES
            return first if maker or name in METHODS else []
        if name in MAKERS and name in self._libraries:
            return first
        return [each for at, each in enumerate(call.args) if at in self.program.literal.get(name, ())]

    def known(self, node: ast.expr) -> bool:
        """Whether an expression is a literal, a statement by its name, a composition or what SQLAlchemy builds."""
        match node:
            case ast.Constant():
                return isinstance(node.value, str | bytes)
            case ast.IfExp():
                return self.known(node.body) and self.known(node.orelse)
            case ast.Tuple() | ast.List():
                return all(map(self.known, node.elts))
            case ast.Subscript() | ast.Starred():
                return self.known(node.value)
            case ast.Name():
                return self._known_name(node)
            case ast.Attribute():
                return self._known_attribute(node)
            case ast.Call():
                return self._known_call(node)
        return False

    def _known_attribute(self, node: ast.Attribute) -> bool:
        typed = self.program.attributes.get(node.attr)
        return not any(map(may_be_text, typed)) if typed else self.known(node.value)

    def _known_call(self, node: ast.Call) -> bool:
        name = name_of(node.func)
        if isinstance(node.func, ast.Attribute):
            if name_of(node.func.value) in LIBRARIES or name in BUILDERS:
                return True
            if hasattr(str, name):  # of a text, or of a composition: format, join
                return not isinstance(node.func.value, ast.Constant) and self.known(node.func.value)
            returned = self.program.methods.get(name)
            return not any(map(may_be_text, returned)) if returned else self.known(node.func.value)
        return not any(map(may_be_text, self.program.functions.get(self._place(name), [None])))

    def _place(self, name: str) -> tuple[str, str]:
        """The module that a function of this name comes from, and what it is called there."""
        for node in (each for each in ast.walk(self.module) if isinstance(each, ast.ImportFrom)):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return path_of(node), alias.name
        return self.path, name

    def _known_name(self, node: ast.Name) -> bool:
        for scope in self._around(node):
            if given := list(self._given(scope, node.id)):
                return all(given)
        return False

    def _around(self, node: ast.AST) -> Iterator[Scope | Comprehension]:
        while node in self._above:
            node = self._above[node]
            if isinstance(node, Scope | Comprehension):
                yield node

    def _given(self, scope: Scope | Comprehension, name: str) -> Iterator[bool]:
        """For each time that the scope gives the name a value, whether that is known."""
        if isinstance(scope, Comprehension):
            yield from (self._once(each.iter) for each in scope.generators if name in names_in(each.target))
            return
        if not isinstance(scope, ast.Module):
            arguments = [*scope.args.posonlyargs, *scope.args.args, *scope.args.kwonlyargs]
            yield from (not may_be_text(each.annotation) for each in arguments if each.arg == name)
        for node in self._within(scope):
            yield from self._bound(node, name)

    def _within(self, scope: Scope) -> list[ast.AST]:
        """What belongs to a scope and to none in it."""
        if not self._owned:
            for node in ast.walk(self.module):
                owners = (each for each in self._around(node) if not isinstance(each, Comprehension))
                self._owned.setdefault(next(owners, self.module), []).append(node)
        return self._owned.get(scope, [])

    def _bound(self, node: ast.AST, name: str) -> Iterator[bool]:
        match node:
            case ast.Assign() if any(name in names_in(target) for target in node.targets):
                yield self._once(node.value)
            case ast.AnnAssign() if name_of(node.target) == name:
                yield not may_be_text(node.annotation)
            case ast.NamedExpr() if node.target.id == name:
                yield self._once(node.value)
            case ast.AugAssign() if name_of(node.target) == name:
                yield False
            case ast.For() if name in names_in(node.target):
                yield self._once(node.iter)
            case ast.ImportFrom():
                yield from self._imported(node, name)

    def _imported(self, node: ast.ImportFrom, name: str) -> Iterator[bool]:
        for alias in node.names:
            path = path_of(node)
            if (alias.asname or alias.name) == name and path in self.program.modules:
                there = Origins(self.program, path)
                yield all(given) if (given := list(there._given(there.module, alias.name))) else False

    def _once(self, node: ast.expr) -> bool:
        """Ask of a value that stands for itself (``x = x.where(...)``) no second time."""
        if node in self._asked:
            return True
        self._asked.add(node)
        return self.known(node)


def path_of(node: ast.ImportFrom) -> str:
    return f"{(node.module or '').replace('.', '/')}.py"


def names_in(target: ast.expr) -> set[str]:
    return {each.id for each in ast.walk(target) if isinstance(each, ast.Name)}


@cache
def program() -> Program:
    return Program({str(path.relative_to(ROOT)): ast.parse(path.read_text(encoding="utf-8")) for path in MODULES})


def test_no_sql_is_put_together_from_texts() -> None:
    found = [place for path in program().modules for place in Origins(program(), path).wrong()]
    assert sorted(set(found) - EXCEPTIONS.keys()) == []
    assert sorted(EXCEPTIONS.keys() - set(found)) == [], "no exception any more"


def judged(code: str) -> list[str]:
    """What is found in a module of the program that holds this code."""
    heading = "import sqlalchemy as sa\nfrom psycopg import sql\nfrom replicator.hub.statements import statements\n"
    planted = ast.parse(f"{heading}_sql = statements(__name__)\n{code}")
    beside = "replicator/hub/statements.py"
    return list(Origins(Program({beside: program().modules[beside], "planted.py": planted}), "planted.py").wrong())


@pytest.mark.parametrize(
    "code",
    [
        "c.execute(f'select {x}')",
        "c.execute('select ' + x)",
        "c.execute('select %s' % x)",
        "c.execute('select {}'.format(x))",
        "c.execute(' '.join(('select', x)))",
        "c.execute(sa.text(f'select {x}'))",
        "c.execute(sa.text(x))",
        "c.exec_driver_sql(x)",
        "cursor.copy(f'copy {x} from stdin')",
        'sa.literal_column("\'" + x + "\'")',
        "sa.DDL(f'drop table {x}')",
        "sql.SQL(f'analyze {x}')",
        "sql.SQL('analyze ' + x).format()",
        "from psycopg.sql import SQL\nSQL(x)",
        "def f(c, query: str):\n    c.execute(query)",
        "def f(c, query):\n    c.execute(query)",
        "def f(c, x):\n    query = f'select {x}'\n    c.execute(query)",
        "def f(c, x):\n    query = 'select 1'\n    query += x\n    c.execute(query)",
        "def f(c, x):\n    query = 'select 1'\n    if x:\n        query = x\n    c.execute(query)",
        "def f(c, x):\n    for query in (f'select {each}' for each in x):\n        c.execute(query)",
        "def f(c, x):\n    [c.execute(each) for each in x]",
        "def f(c, x):\n    c.execute('select 1' if x else x)",
        "def f(c, x):\n    if (query := 'select ' + x):\n        c.execute(query)",
        "def f(x) -> str:\n    return 'select ' + x\ndef g(c, x):\n    c.execute(f(x))",
        "QUERY = 'select ' + input()\ndef f(c):\n    c.execute(QUERY)",
        "class A:\n    query: str\n    def f(self, c):\n        c.execute(self.query)",
        "def f(c, path):\n    c.execute(path.read_text())",
        "def f(c, x):\n    text = str(x).replace('a', 'b')\n    c.execute(sql.SQL(text))",
        "def build(x) -> str:\n    return str(x)\nbuilt = built_once(build)\ndef f(c, x):\n    c.execute(built(x))",
        "def f(c, q: LiteralString):\n    c.execute(q)\ndef g(c, x):\n    f(c, x)",
    ],
)
def test_planted_sql_that_is_put_together_from_texts_is_seen(code: str) -> None:
    assert judged(code) != []


@pytest.mark.parametrize(
    "code",
    [
        "c.execute('select 1')",
        "c.execute(_sql['claim'], {'x': 1})",
        "c.execute(sa.select(sa.literal(1)).where(sa.true()))",
        "c.execute(sql.SQL('analyze {}').format(sql.Identifier(x)))",
        "ONE = sa.text('select 1')\ndef f(c):\n    c.execute(ONE)",
        "def f(c, query: sa.Select[Any]):\n    query = query.where(sa.true())\n    c.execute(query)",
        "def f(c, x):\n    for query in ('select 1', 'select 2'):\n        c.execute(query)",
        "def f(c, q: LiteralString):\n    c.execute(q)\ndef g(c):\n    f(c, 'select 1')",
    ],
)
def test_sql_that_is_none_of_that_is_left_alone(code: str) -> None:
    assert judged(code) == []
