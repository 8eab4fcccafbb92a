"""Find the Flask application of a project by reading its code, without importing or running it."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_SKIPPED = {"build", "dist", "docs", "env", "examples", "migrations", "node_modules", "site-packages", "test", "tests"}
_DEEPEST = 4
_FROM = {"carboy", "carboy.web"}
_GIVING = {"init_app", "create_app"}


@dataclass(frozen=True, slots=True)
class Found:
    """A Flask application, or a function without arguments that makes one.

    Attributes:
        path: the file, below the project's folder.
        module: its dotted name.
        attribute: the function or the variable in it.
        variable: how the application is called where it is made.
        is_factory: whether it is a function.
    """

    path: str
    module: str
    attribute: str
    variable: str
    is_factory: bool

    @property
    def name(self) -> str:
        """Return it as `--app` takes it."""
        return f"{self.module}:{self.attribute}"


def read_code(folder: Path) -> dict[str, ast.Module]:
    """Return the modules of a project by path, the shallowest first; what cannot be read or parsed is left out."""
    found = {}
    for path in sorted(_modules(folder, 1), key=lambda path: (len(path.parts), path.as_posix())):
        try:
            found[path.relative_to(folder).as_posix()] = ast.parse(path.read_bytes())
        except (OSError, SyntaxError, ValueError):
            continue
    return found


def find_applications(code: dict[str, ast.Module]) -> list[Found]:
    """Return the applications in a project's code: functions that make one before variables that hold one.

    Where neither calls `Flask` itself, as when the factory takes the name of a configuration, it is what
    `app = create_app(…)` makes.
    """
    found = [one for path, tree in code.items() for one in _applications(path, tree)]
    found = found or [one for path, tree in code.items() for one in _made_by_call(path, tree)]
    return sorted(found, key=lambda one: (not one.is_factory, one.path.count("/"), one.path, one.attribute))


def has_parts(tree: ast.Module) -> bool:
    """Return whether a module gives Carboy's parts to an application: `carboy.init_app(…)`, `carboy.create_app(…)`."""
    names = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module in _FROM
        for alias in node.names
        if alias.name in _GIVING
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            match node.func:
                case ast.Name(id=name) if name in names:
                    return True
                case ast.Attribute(attr=name, value=value) if name in _GIVING and ast.unparse(value) in _FROM:
                    return True
    return False


def _modules(folder: Path, depth: int) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith((".", "venv")):
            continue
        if path.is_dir() and depth < _DEEPEST and path.name not in _SKIPPED and not (path / "pyvenv.cfg").exists():
            yield from _modules(path, depth + 1)
        elif path.suffix == ".py" and path.is_file():
            yield path


def _made_by_call(path: str, tree: ast.Module) -> Iterator[Found]:
    """Yield `app` or `application` where a module assigns the result of `create_app(…)` or `make_app(…)` to it."""
    module = _module_name(path)
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id="app" | "application" as name)], value=ast.Call(func=function)):
                if module and ast.unparse(function).rpartition(".")[2] in {"create_app", "make_app"}:
                    yield Found(path, module, name, name, is_factory=False)


def _module_name(path: str) -> str:
    """Return the dotted name of a module's path; empty where it cannot be imported by one."""
    module = path.removeprefix("src/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return module if all(part.isidentifier() for part in module.split(".")) else ""


def _applications(path: str, tree: ast.Module) -> Iterator[Found]:
    module = _module_name(path)
    if not module:
        return
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            made = next((name for inner in ast.walk(node) for name in _names(inner)), None)
            if made is not None and _needs_nothing(node.args) and _returns(node, made):
                yield Found(path, module, node.name, made, is_factory=True)
        for name in _names(node):
            yield Found(path, module, name, name, is_factory=False)


def _names(node: ast.AST) -> Iterator[str]:
    """Yield the name in `name = Flask(…)`, also where its type is said."""
    match node:
        case (
            ast.Assign(targets=[ast.Name(id=name)], value=value) | ast.AnnAssign(target=ast.Name(id=name), value=value)
        ):
            if isinstance(value, ast.Call) and ast.unparse(value.func) in {"Flask", "flask.Flask"}:
                yield name


def _needs_nothing(arguments: ast.arguments) -> bool:
    positional = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
    return positional == 0 and all(default is not None for default in arguments.kw_defaults)


def _returns(node: ast.FunctionDef, name: str) -> bool:
    returned = [each.value for each in ast.walk(node) if isinstance(each, ast.Return)]
    return any(isinstance(value, ast.Name) and value.id == name for value in returned)
