"""Checks of every kind of component."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator

from torch import nn
from torch.nn.parameter import is_lazy

from restorekit.data.tasks import TaskCard
from restorekit.errors import RecipeError, RestorekitError, closest
from restorekit.plugin.entry import KINDS, Kind
from restorekit.plugin.registry import registry
from restorekit.testing.check import CheckFailedError, Subject, for_kinds, naming_no_device, one_line, require

_BUILT: tuple[Kind, ...] = ("generator", "discriminator", "prior", "loss", "metric", "synthesizer")
_UNKNOWN = "no_such_setting_as_this"


@for_kinds(*KINDS, gate=True)
def check_target_is_importable(subject: Subject) -> None:
    """The target can be imported."""
    with naming_no_device():
        subject.component.load()


@for_kinds(*KINDS)
def check_summary_is_one_line(subject: Subject) -> None:
    """The summary is one line of text: listings show it."""
    summary = subject.component.entry.summary
    require(summary.strip() and "\n" not in summary, f"the summary is {summary!r}; give one line of text")


@for_kinds(*KINDS)
def check_tasks_are_known(subject: Subject) -> None:
    """Each task that its entry names is declared by some plugin."""
    found = registry()
    known = [found.unique_name(task) for task in found.components("task")]
    for task in subject.component.entry.tasks:
        require(
            task in known,
            f"its task {task!r} is declared by no installed plugin.{closest(task, known)} There are:"
            f" {', '.join(known)}. Declare your own by an entry of the kind 'task'",
        )


@for_kinds("task")
def check_is_a_task_card(subject: Subject) -> None:
    """The target is a `TaskCard` that says in words what both sides are."""
    card = subject.component.load()
    require(isinstance(card, TaskCard), f"the target is a {type(card).__name__}; make it a TaskCard(degraded, clean)")
    for side in ("degraded", "clean"):
        require(str(getattr(card, side)).strip(), f"its {side!r} is empty; say in a few words what such an image is")


@for_kinds(*_BUILT, gate=True)
def check_builds_by_default(subject: Subject) -> None:
    """It can be built without settings, and has no positional-only or unnamed settings."""
    target = subject.component.load()
    require(callable(target), f"the target is a {type(target).__name__}; it must be a class or a function")
    for parameter in _parameters(target):
        named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        require(
            named,
            f"its parameter {_shown(parameter)!r} cannot be given by name and checked; recipes give settings by"
            " name: spell each one out as a keyword argument",
        )
        require(
            parameter.default is not parameter.empty,
            f"its setting {parameter.name!r} has no default; give each setting one{_if_function(target)}",
        )
    with naming_no_device():
        _build(target)


def _build(target: Callable[..., object]) -> None:
    try:
        target()
    except (RestorekitError, AssertionError):
        raise  # what the author wrote, or what tells of a device, is clear
    except Exception as error:
        forgot = "Module.__init__() call" in str(error)
        remedy = "call super().__init__() first in __init__" if forgot else "its defaults must give one that works"
        raise CheckFailedError(f"it cannot be built without settings: {one_line(error)}; {remedy}") from error


def _if_function(target: object) -> str:
    if not inspect.isfunction(target):
        return ""
    return ". The target makes the component from its settings, and is not the component itself: make it a class"


def _shown(parameter: inspect.Parameter) -> str:
    return str(parameter.replace(annotation=parameter.empty))


def _parameters(target: Callable[..., object]) -> list[inspect.Parameter]:
    """Return a target's parameters; a module without a constructor of its own has none."""
    if isinstance(target, type):
        defining = next(base for base in target.__mro__ if "__init__" in vars(base))
        if defining is nn.Module:
            return []
    return list(inspect.signature(target).parameters.values())


@for_kinds(*_BUILT)
def check_refuses_unknown_settings(subject: Subject) -> None:
    """A setting that it does not have is an error, so that a misspelt one is never ignored."""
    try:
        subject.build(**{_UNKNOWN: 1})
    except (RecipeError, TypeError, ValueError):
        return
    raise CheckFailedError(f"it accepts the unknown setting {_UNKNOWN!r}; take **kwargs out of its signature")


@for_kinds("generator", "discriminator", "loss", "prior", gate=True)
def check_registers_its_layers(subject: Subject) -> None:
    """Torch knows of all its layers, and the sizes of their parameters, as soon as it is built."""
    network = subject.build()
    if not isinstance(network, nn.Module):
        return  # other checks say what it must be
    known = {id(module) for module in network.modules()} | {id(parameter) for parameter in network.parameters()}
    for owner in network.modules():
        for name, value in vars(owner).items():
            hidden = [item for item in _items(value) if id(item) not in known] if not name.startswith("_") else []
            remedy = "nn.ModuleDict" if isinstance(value, dict) else "nn.ModuleList"
            require(
                not hidden,
                f"its {name} is a plain {type(value).__name__} of layers, which no optimizer, device or file sees; make"
                f" it an {remedy} (or nn.ParameterList)",
            )
    lazy = [name for name, parameter in network.named_parameters() if is_lazy(parameter)]
    require(
        not lazy,
        f"its {', '.join(lazy[:5])} have no size before the first call; give the number of channels in place of a lazy"
        " layer: optimizer and averages are made before it",
    )


def _items(value: object) -> Iterator[nn.Module | nn.Parameter]:
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, list | tuple):
        yield from (item for item in value if isinstance(item, nn.Module | nn.Parameter))
