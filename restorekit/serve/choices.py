"""Which models the page offers, and which one it takes by itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from restorekit.errors import UnknownNameError, WeightsError, closest
from restorekit.plugin.registry import Component, Registry
from restorekit.weights import default_model, weights_state


@dataclass(frozen=True)
class Choice:
    """One model: its `name`, and in `purpose` one line that says what it is for. One of all is the `default`."""

    name: str
    purpose: str
    default: bool = False

    def facts(self) -> dict[str, object]:
        """Return it as JSON holds it."""
        return asdict(self)


def _purpose(component: Component, tasks: dict[str, str]) -> str:
    """Say what a model is for: its first task, which is the widest, and what it is."""
    summary = _sentence(component.entry.summary)
    aims = [tasks.get(task, task) for task in component.entry.tasks]
    return f"To {aims[0].rstrip('.')}. {summary}" if aims else summary


def _sentence(text: str) -> str:
    """Return a summary as a sentence among others: its first word as it is where that is a name, and a full stop."""
    text = text.rstrip(".")
    first = text.partition(" ")[0]
    return f"{text[:1].upper() if first.islower() and first.isalpha() else text[:1]}{text[1:]}."


def _usable(component: Component) -> bool:
    try:
        return weights_state(component.entry) != "none"
    except WeightsError:  # `restorekit models` says which are damaged
        return False


def choices(registry: Registry, default: str | None = None) -> list[Choice]:
    """Return the models that can restore without being trained first, the default one first.

    `default`: the model that is taken when the visitor chooses none; by itself the one that `restorekit restore` would
    take. Raises `UnknownNameError` for one that cannot be offered and `WeightsError` when there is no model at all.
    """
    found = {registry.unique_name(c): c for c in registry.components("model") if _usable(c)}
    if default is not None:
        default = registry.unique_name(registry.find("model", default))
        if default not in found:
            raise UnknownNameError(
                f"model {default!r} has no weights, so the page cannot offer it; use one of {', '.join(found)}."
                f"{closest(default, found)}"
            )
    chosen = default or default_model(registry)[0]
    order = sorted(found, key=lambda name: (name != chosen, name))
    tasks = {task.entry.name: task.entry.summary for task in registry.components("task")}
    return [Choice(name, _purpose(found[name], tasks), name == chosen) for name in order]
