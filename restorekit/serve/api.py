"""What gradio queues: restoring for the page, with progress, and the same for programs."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import gradio
from gradio.data_classes import FileData

from restorekit.errors import DataError, RestorekitError
from restorekit.serve import store
from restorekit.serve.desk import Desk
from restorekit.serve.files import told, write_blended
from restorekit.serve.limits import Limits
from restorekit.serve.store import Store


class Api:
    """The functions behind gradio's queue, which lets `limits.jobs` run at once and `limits.queue` wait."""

    def __init__(self, desk: Desk, items: Store, limits: Limits) -> None:
        self._desk = desk
        self._items = items
        with gradio.Blocks(analytics_enabled=False, title="restorekit") as self.blocks:
            shared: dict[str, object] = {"concurrency_id": "restore", "concurrency_limit": limits.jobs}
            gradio.api(self.work, api_name="work", api_visibility="undocumented", **shared)
            gradio.api(self.restore, api_name="restore", **shared)
            gradio.api(self.models, api_name="models", queue=False)
        self.blocks.queue(max_size=limits.queue, default_concurrency_limit=limits.jobs)

    @property
    def work_index(self) -> int:
        """The number by which gradio's queue knows `work`."""
        return next(int(index) for index, function in self.blocks.fns.items() if function.api_name == "work")

    def work(self, item: str, model: str) -> Iterator[dict]:  # type: ignore[type-arg] # gradio reads it
        """Restore an item of the page; yield its facts and progress."""
        found = self._items.get(item)
        if found is None:
            yield {"id": item, "state": store.FAILED, "message": "this file is no longer here; drop it again"}
            return
        try:
            yield from self._desk.work(found, self._desk.model(model))
        except RestorekitError as error:
            found.state, found.message = store.FAILED, str(error)
            yield found.facts()

    def restore(self, image: FileData, model: str = "", strength: float = 1.0) -> FileData:
        """Restore one image, animation or clip: its format, size and metadata are kept.

        `model`: one of `/models`; by itself the default one. `strength`: how much of the result is blended with the
        input, 0 to 1.
        """
        # gradio reads the annotations for its clients, but hands over what came as JSON, and takes that too
        sent = FileData.model_validate(image)
        source = Path(sent.path)  # an uploaded one: `UploadsOnly` sees to that
        item = self._items.add(secrets.token_hex(16), sent.orig_name or source.name)
        item.strength = strength
        try:
            if not 0 <= strength <= 1:
                raise DataError(f"strength is {strength}; give a number from 0 (the input) to 1 (the result)")
            shutil.copyfile(source, item.source)
            for _ in self._desk.work(item, self._desk.model(model)):
                pass
            if item.result is None:
                raise DataError(item.message)
            return FileData(path=str(self._shared(item)), orig_name=item.result.name).model_dump()
        except (RestorekitError, OSError) as error:
            raise gradio.Error(told(error, item), print_exception=False) from error
        finally:
            self._items.remove([item])

    def models(self) -> list[dict]:  # type: ignore[type-arg] # gradio reads it
        """Return the models that can be chosen: name, purpose, and which one is the default."""
        return [choice.facts() for choice in self._desk.choices]

    def _shared(self, item: store.Item) -> Path:
        """Put an item's result where gradio serves files from."""
        assert item.result is not None
        folder = self._items.uploads / secrets.token_hex(16)
        folder.mkdir()
        target = folder / item.result.name
        written = write_blended(item, target)
        return written if written == target else written.replace(target)
