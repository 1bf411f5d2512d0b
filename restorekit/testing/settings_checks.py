"""What all of a process share, such as torch's default type and the environment, is nothing for a plugin to change."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable

import numpy as np
import torch

from restorekit.testing.check import Subject, for_kinds, require
from restorekit.testing.using import use


def _set_environment(values: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(values)


# name -> how it is read, and how it is set back
_SHARED: dict[str, tuple[Callable[[], object], Callable[..., object]]] = {
    "torch's default type": (torch.get_default_dtype, torch.set_default_dtype),
    "torch's number of threads": (torch.get_num_threads, torch.set_num_threads),
    "torch's matmul precision": (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    "torch's deterministic algorithms": (
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
    ),
    "torch's search for anomalies": (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    "whether torch keeps gradients": (torch.is_grad_enabled, torch.set_grad_enabled),
    "cuDNN's benchmark mode": (
        lambda: torch.backends.cudnn.benchmark,
        lambda value: setattr(torch.backends.cudnn, "benchmark", value),
    ),
    "numpy's handling of errors": (np.geterr, lambda value: np.seterr(**value)),
    "the working directory": (os.getcwd, os.chdir),
    "the environment": (lambda: dict(os.environ), _set_environment),
}


@for_kinds("generator", "discriminator", "loss", "prior", "metric", "synthesizer", gate=True)
def check_leaves_shared_settings_alone(subject: Subject) -> None:
    """Building and calling it changes no setting that the whole process shares."""
    before = {name: read() for name, (read, _) in _SHARED.items()}
    with contextlib.suppress(Exception):  # other checks say why it does not run
        use(subject)
    changed = [name for name, (read, _) in _SHARED.items() if read() != before[name]]
    for name in changed:
        _SHARED[name][1](before[name])
    require(
        not changed,
        f"it changes {', '.join(changed)}, for all that runs in the process; leave that to whoever starts it, or set it"
        " back behind you",
    )


@for_kinds("generator", "discriminator", "loss", "prior", "metric", "synthesizer")
def check_prints_nothing(subject: Subject) -> None:
    """Building and calling it prints nothing: pictures and JSON go to standard output."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        try:
            use(subject)
        except Exception:  # other checks say why it does not run
            return
    text = printed.getvalue().strip()
    require(
        not text,
        f"it prints {text[:80]!r}, into the middle of what restorekit writes to standard output, at every call; take"
        " that out, or write it to a logger (logging.getLogger(__name__))",
    )
