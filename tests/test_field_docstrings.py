"""Each field of what people write by hand has a docstring of its own, under it, where editors look."""

from __future__ import annotations

import inspect

import pytest
from field_docs import bare_fields

from restorekit.data.cards import DatasetCard, Split
from restorekit.data.images import WriteOptions
from restorekit.data.tasks import TaskCard
from restorekit.engine import Options, RunResult
from restorekit.interface import Batch, Judgement, LossInput, Output, SizeRule
from restorekit.plugin.entry import Entry
from restorekit.recipe import Recipe, parts
from restorekit.restoring.settings import Budget, RestorerInfo
from restorekit.restoring.video.options import VideoOptions
from restorekit.serve.limits import Limits

RECIPE_PARTS = [part for part in vars(parts).values() if isinstance(part, type) and issubclass(part, parts.Part)]
CLASSES = [Entry, SizeRule, Batch, Output, Judgement, LossInput, Recipe, *RECIPE_PARTS, DatasetCard, Split, TaskCard]
CLASSES += [Options, RunResult, Budget, RestorerInfo, WriteOptions, VideoOptions, Limits]


@pytest.mark.parametrize("described", CLASSES, ids=lambda c: c.__name__)
def test_every_field_is_described(described):
    assert bare_fields(inspect.getsource(described)) == []


def test_a_bare_field_is_seen():
    assert bare_fields('class A:\n    """A."""\n    x: int\n    """X."""\n    y: int = 3\n    z: int\n') == ["y", "z"]
