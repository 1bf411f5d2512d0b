from __future__ import annotations

import numpy as np
import pytest
import torch
from restorekit_attngan.losses import AttentionCriticLoss, AttentionLoss, MultiScaleLoss

from restorekit.errors import RecipeError, TrainingError
from restorekit.interface import Batch, Judgement, LossInput, Output


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def mse(a, b):
    return float(((a.detach().double().numpy() - b.double().numpy()) ** 2).mean())


def seen_with(output, **batch):
    return LossInput(Batch(degraded=rand(2, 3, 8, 12, seed=9), **batch), output)


def test_attention_weights_later_maps_more():
    mask = (rand(2, 1, 8, 12) > 0.7).float()
    maps = tuple(rand(2, 1, 8, 12, seed=i) for i in range(4))
    seen = seen_with(Output(rand(2, 3, 8, 12), {"attention": maps}), mask=mask)
    expected = 0.512 * mse(maps[0], mask) + 0.64 * mse(maps[1], mask) + 0.8 * mse(maps[2], mask) + mse(maps[3], mask)
    assert AttentionLoss()(seen).item() == pytest.approx(expected, rel=1e-6)
    assert AttentionLoss(decay=0.0)(seen).item() == pytest.approx(mse(maps[3], mask), rel=1e-6)


def area(image, factor):
    b, c, h, w = image.shape
    return torch.from_numpy(np.asarray(image).reshape(b, c, h // factor, factor, w // factor, factor).mean((3, 5)))


def test_multi_scale_against_block_means():
    clean, full, half, quarter = (rand(2, 3, *s, seed=i) for i, s in enumerate(((8, 12), (8, 12), (4, 6), (2, 3))))
    seen = seen_with(Output(full, {"scales": (quarter, half)}), clean=clean)
    expected = 0.6 * mse(quarter, area(clean, 4)) + 0.8 * mse(half, area(clean, 2)) + mse(full, clean)
    assert MultiScaleLoss()(seen).item() == pytest.approx(expected, rel=1e-5)
    assert MultiScaleLoss(weights=[0, 0, 2])(seen).item() == pytest.approx(2 * mse(full, clean), rel=1e-5)
    with pytest.raises(RecipeError, match="2 weights, but the generator gives 3 sizes"):
        MultiScaleLoss(weights=(1, 1))(seen)


def test_critic_compares_maps_and_leaves_the_generator_alone():
    maps = tuple(rand(2, 1, 8, 12, seed=i).requires_grad_() for i in range(4))
    on_fake, on_real = (rand(2, 1, 8, 12, seed=i).requires_grad_() for i in (7, 8))
    seen = LossInput(
        Batch(degraded=rand(2, 3, 8, 12)),
        Output(rand(2, 3, 8, 12), {"attention": maps}),
        fake=Judgement(torch.zeros(2, 1), {"attention_map": on_fake}),
        real=Judgement(torch.zeros(2, 1), {"attention_map": on_real}),
    )
    value = AttentionCriticLoss()(seen)
    expected = mse(on_fake, maps[3].detach()) + mse(on_real, torch.zeros(2, 1, 8, 12))
    assert value.item() == pytest.approx(expected, rel=1e-6)
    value.backward()
    assert maps[3].grad is None
    assert torch.allclose(on_real.grad, 2 * on_real.detach() / on_real.numel())
    assert torch.allclose(on_fake.grad, 2 * (on_fake - maps[3]).detach() / on_fake.numel())


@pytest.mark.parametrize("loss", [AttentionLoss(), MultiScaleLoss(), AttentionCriticLoss()])
def test_missing_inputs_are_named(loss):
    with pytest.raises(TrainingError, match="needs"):
        loss(seen_with(Output(rand(2, 3, 8, 12))))
