"""The page of `restorekit serve` on a free port, with networks of the test in place of models."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

from torch import Tensor, nn

from restorekit.restoring import Restorer, RestorerInfo
from restorekit.serve import Choice, Limits
from restorekit.serve.server import address_of, bind, prepared


class Invert(nn.Module):
    """Turns a picture into its negative, at once."""

    def forward(self, degraded: Tensor) -> Tensor:
        return 1 - degraded


class Slow(nn.Module):
    """Takes a minute of small steps, which nobody waits for."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Identity()

    def forward(self, degraded: Tensor) -> Tensor:
        for _ in range(600):
            time.sleep(0.1)
            degraded = self.layer(degraded)
        return degraded


NETWORKS = {"invert": Invert, "slow": Slow}
OFFERED = (Choice("invert", "For falling rain. Quick.", default=True), Choice("slow", "For drops on the glass."))


def load(name: str) -> Restorer:
    return Restorer(NETWORKS[name](), device="cpu", precision="fp32", tile=0, info=RestorerInfo(model=name))


@contextlib.contextmanager
def page(limits: Limits | None = None, users: dict[str, str] | None = None) -> Iterator[str]:
    """Run the page in a thread; give its address."""
    with (
        bind("127.0.0.1", 0) as listening,
        prepared(OFFERED, load, limits or Limits(), users or {}, "127.0.0.1") as server,
    ):
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield address_of(listening)
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()
