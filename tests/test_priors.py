"""The mask from a pair, against a loop over 8-bit pixels."""

import numpy as np
import pytest
import torch

from restorekit.errors import RecipeError, TrainingError
from restorekit.interface import Batch
from restorekit.priors.masks import MaskFromPair


def as_tensor(image_HWC):
    return torch.from_numpy(image_HWC).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (40, 31)])
@pytest.mark.parametrize("level", [0, 30, 100])
def test_mask_agrees_with_integer_arithmetic(size, level):
    rng = np.random.default_rng(level)
    clean = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    degraded = np.clip(clean.astype(int) + rng.integers(-45, 46, clean.shape), 0, 255).astype(np.uint8)
    expected = (np.abs(degraded.astype(int) - clean).max(axis=2) > level).astype(np.float32)
    batch = MaskFromPair(threshold=level / 255)(Batch(as_tensor(degraded), clean=as_tensor(clean)))
    assert batch.mask.shape == (1, 1, *size)
    assert batch.mask.dtype == torch.float32
    assert np.array_equal(batch.mask[0, 0].numpy(), expected)


def test_exactly_thirty_levels_is_not_over_thirty_for_any_level():
    low = torch.arange(226).view(1, 1, 1, -1).expand(1, 3, 1, -1)
    clean = low.float() / 255
    mask = MaskFromPair()
    assert mask(Batch((low + 30).float() / 255, clean=clean)).mask.sum() == 0
    above = clean.clone()
    above[:, 1] = (low[:, 1] + 31).float() / 255  # one channel is enough
    assert mask(Batch(above, clean=clean)).mask.mean() == 1
    assert mask(Batch(clean, clean=above)).mask.mean() == 1


def test_samples_are_independent_and_other_fields_stay():
    degraded, clean = torch.rand(3, 3, 8, 8), torch.rand(3, 3, 8, 8)
    batch = Batch(degraded, clean=clean, name=("a", "b", "c"), key=torch.arange(3))
    whole = MaskFromPair()(batch)
    assert whole.degraded is degraded
    assert whole.clean is clean
    assert whole.name == batch.name
    assert batch.mask is None  # the batch that was given is not changed
    for i in range(3):
        alone = MaskFromPair()(Batch(degraded[i : i + 1], clean=clean[i : i + 1]))
        assert torch.equal(whole.mask[i : i + 1], alone.mask)


def test_a_known_mask_is_replaced_unless_kept():
    image, known = torch.rand(1, 3, 4, 4), torch.ones(1, 1, 4, 4)
    batch = Batch(image, clean=image, mask=known)
    assert MaskFromPair()(batch).mask.sum() == 0
    assert MaskFromPair(keep=True)(batch).mask is known


def test_no_gradient_and_no_state():
    degraded = torch.rand(1, 3, 4, 4, requires_grad=True)
    prior = MaskFromPair()
    assert not prior(Batch(degraded, clean=torch.rand(1, 3, 4, 4))).mask.requires_grad
    assert not prior.state_dict()


def test_unpaired_data_and_levels_of_255_are_refused():
    with pytest.raises(TrainingError, match="paired"):
        MaskFromPair()(Batch(torch.rand(1, 3, 4, 4)))
    with pytest.raises(RecipeError, match="30 / 255"):
        MaskFromPair(threshold=30)
