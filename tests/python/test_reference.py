"""Every public name of the Python package is documented, and is on the pages of the reference."""

import ast
import dataclasses
import inspect
import pathlib
import re
import textwrap
import types

import pytest

import gradthru
import gradthru.functional
import gradthru.nn

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODULES = (gradthru, gradthru.functional, gradthru.nn)
PAGES = {page.stem: page.read_text() for page in (ROOT / "docs" / "reference").glob("*.md")}
BASE = gradthru.nn.StochasticBinaryLayer  # which nobody makes
# What torch.nn.Module documents: the text of repr().
INHERITED = {"extra_repr"}


def public() -> dict[str, object]:
    """Functions, classes and aliases by their full name."""
    found = {}
    for module in MODULES:
        for name in module.__all__:
            value = getattr(module, name)
            if not isinstance(value, types.ModuleType):
                found[f"{module.__name__}.{name}"] = value
    return found


def callables() -> dict[str, object]:
    """Public functions and classes, and public methods and properties that a class defines."""
    found = {}
    for name, value in public().items():
        if inspect.isfunction(value) or inspect.isclass(value):
            found[name] = value
        if inspect.isclass(value):
            for method, member in vars(value).items():
                wanted = isinstance(member, types.FunctionType | property)
                if wanted and not method.startswith("_") and method not in INHERITED:
                    found[f"{name}.{method}"] = member
    return found


def parameters(value: object) -> list[str]:
    if isinstance(value, property):
        return []
    given = value.__init__ if inspect.isclass(value) else value
    return [name for name in inspect.signature(given).parameters if name not in ("self", "cls")]


def section(docstring: str, title: str) -> str:
    """The lines below a title of Google's style."""
    found = re.search(rf"^{title}:\n((?:    .*\n|\n)+)", docstring + "\n", re.MULTILINE)
    return found[1] if found else ""


def described(lines: str) -> set[str]:
    """Names at the head of a section's entries: `a, b: text`."""
    heads = re.findall(r"^    (\w[\w, ]*):\s*\S", lines, re.MULTILINE)
    return {name.strip() for head in heads for name in head.split(",")}


def raised(value: object) -> set[str]:
    """Errors that the function's own text raises."""
    if inspect.isclass(value):
        value = value.__init__
    if isinstance(value, property):
        value = value.fget
    tree = ast.parse(textwrap.dedent(inspect.getsource(value)))
    errors = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise)]
    names = {error.func.id for error in errors if isinstance(error, ast.Call)}
    return names - {"NotImplementedError"}


def is_record(value: object) -> bool:
    return inspect.isclass(value) and issubclass(value, tuple)


@pytest.mark.parametrize("name", callables())
def test_it_has_a_docstring_of_its_own(name):
    value = callables()[name]
    docstring = vars(value).get("__doc__") if inspect.isclass(value) else value.__doc__
    # A NamedTuple without one gets "Name(field, ..)".
    assert docstring and not docstring.startswith(name.rpartition(".")[2] + "("), name
    assert len(docstring.split("\n")[0].split()) >= 3


@pytest.mark.parametrize("name", [n for n, v in callables().items()
                                  if not is_record(v) and v is not BASE])
def test_every_argument_is_described(name):
    value = callables()[name]
    docstring = inspect.getdoc(value)
    # Estimators are made by factories, not by hand.
    told = section(docstring, "Attributes" if value is gradthru.Estimator else "Args")
    assert set(parameters(value)) == described(told)


@pytest.mark.parametrize("name", [n for n, v in public().items() if is_record(v)])
def test_every_field_is_described(name):
    record = public()[name]
    assert set(record._fields) == described(section(inspect.getdoc(record), "Attributes"))


@pytest.mark.parametrize("name", [n for n, v in callables().items()
                                  if not is_record(v) and not dataclasses.is_dataclass(v)])
def test_errors_are_described(name):
    value = callables()[name]
    assert raised(value) <= described(section(inspect.getdoc(value), "Raises"))


def documented_aliases() -> set[str]:
    """Assignments of the package that a string stands below, where they are documented."""
    found = set()
    for source in pathlib.Path(gradthru.__file__).parent.rglob("*.py"):
        body = ast.parse(source.read_text()).body
        for above, below in zip(body, body[1:], strict=False):
            text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
            if isinstance(above, ast.Assign) and text:
                found.add(above.targets[0].id)
    return found


def test_aliases_are_described():
    aliases = {name.rpartition(".")[2] for name in set(public()) - set(callables())}
    assert aliases and aliases <= documented_aliases()


def test_every_name_is_on_its_modules_page():
    for module in MODULES:
        page = PAGES[module.__name__.rpartition(".")[2]]
        shown = set(re.findall(r"^::: (\S+)$", page, re.MULTILINE))
        wanted = {name for name in public() if name.rpartition(".")[0] == module.__name__}
        assert shown == wanted


@pytest.mark.parametrize("name", gradthru.estimators())
def test_factories_are_on_the_page_and_say_what_they_take(name):
    assert f"[`{name}`](../estimators/{name}.md)" in PAGES["gradthru"]
    docstring = getattr(gradthru, name).__doc__
    spec = "mve_scalar(values=0:1)" if name == "mve_scalar" else name
    for key in gradthru.about(spec).parameters:
        assert key in docstring
    assert gradthru.cite(spec) in docstring


def test_modules_are_described():
    for module in MODULES:
        assert module.__doc__ and f"# {module.__name__}\n" in "\n".join(PAGES.values())
