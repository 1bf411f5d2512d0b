from __future__ import annotations

import urllib.error

import numpy as np
import pytest
import torch
from restorekit_pix2pix import segmentation
from restorekit_pix2pix.segmentation import SegmentationAgreement, label_accuracy, label_miou
from torch import nn
from torchvision.models.segmentation import deeplabv3_mobilenet_v3_large

from restorekit.errors import RecipeError, WeightsError


class ByBrightness(nn.Module):
    """A stand-in network: class 1 where the (normalised) red channel is positive, else class 0."""

    def forward(self, image):
        scores = torch.zeros(image.shape[0], 21, *image.shape[-2:])
        scores[:, 1] = image[:, 0]
        return {"out": scores}


def slow_miou(found, expected):
    ious = []
    for c in np.union1d(found, expected):
        a, b = found == c, expected == c
        ious.append((a & b).sum() / (a | b).sum())
    return float(np.mean(ious))


def test_scores_against_sets():
    g = torch.Generator().manual_seed(0)
    found, expected = torch.randint(0, 5, (2, 3, 9, 7), generator=g).unbind()
    miou, accuracy = label_miou(found, expected), label_accuracy(found, expected)
    assert miou.dtype == accuracy.dtype == torch.float64
    for i in range(3):
        assert miou[i].item() == pytest.approx(slow_miou(found[i].numpy(), expected[i].numpy()))
        assert accuracy[i].item() == pytest.approx((found[i] == expected[i]).float().mean().item())


def test_equal_maps_agree_fully():
    labels = torch.randint(0, 21, (2, 8, 8))
    assert label_miou(labels, labels).tolist() == [1.0, 1.0]


@pytest.mark.parametrize(("measure", "expected"), [("accuracy", 0.75), ("miou", (2 / 3 + 0.5) / 2)])
def test_metric_runs_the_network_on_both_images(measure, expected, monkeypatch):
    monkeypatch.setattr(segmentation, "load_network", lambda _: ByBrightness())
    clean = torch.zeros(1, 3, 2, 2)
    clean[..., 0] = 1.0
    restored = clean.clone()
    restored[..., 0, 0] = 0.0  # classes: clean 1 0 / 1 0, restored 0 0 / 1 0
    metric = SegmentationAgreement(measure=measure)
    assert metric(restored, clean).item() == pytest.approx(expected)
    assert metric.higher_is_better


def test_offline_is_a_clear_error(monkeypatch):
    def unreachable(*_, **__):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", unreachable)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", unreachable)
    with pytest.raises(WeightsError, match="weights_file"):
        SegmentationAgreement()(torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32))


def test_a_local_file_is_used_and_a_bad_one_refused(tmp_path):
    torch.manual_seed(0)
    state = deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None, aux_loss=True).state_dict()
    good, other, broken = tmp_path / "good.pth", tmp_path / "other.pth", tmp_path / "broken.pth"
    torch.save(state, good)
    torch.save({"a": torch.zeros(1)}, other)
    broken.write_bytes(b"not weights")
    image = torch.rand(1, 3, 32, 40)
    assert SegmentationAgreement(weights_file=str(good))(image, image).tolist() == [1.0]
    for bad in (other, broken, tmp_path / "absent.pth"):
        with pytest.raises(WeightsError, match=bad.name):
            SegmentationAgreement(weights_file=str(bad))(image, image)


def test_unknown_measure():
    with pytest.raises(RecipeError, match="miou, accuracy"):
        SegmentationAgreement(measure="dice")
