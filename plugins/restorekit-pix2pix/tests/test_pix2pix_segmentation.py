from __future__ import annotations

import urllib.error

import numpy as np
import pytest
import torch
from PIL import Image
from restorekit_pix2pix import espnet, segmentation
from restorekit_pix2pix.segmentation import (
    NETWORKS,
    SegmentationAgreement,
    label_accuracy,
    label_miou,
    load_network,
)
from torch import nn
from torchvision.models.segmentation import deeplabv3_mobilenet_v3_large

from restorekit.data.builtin import photos
from restorekit.errors import RecipeError, WeightsError


class ByBrightness(nn.Module):
    """A stand-in network: class 1 where the red channel is above 0.5, else class 0."""

    def forward(self, image):
        scores = torch.zeros(image.shape[0], 21, *image.shape[-2:])
        scores[:, 1] = image[:, 0] - 0.5
        return scores


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
    monkeypatch.setattr(segmentation, "load_network", lambda *_: ByBrightness())
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
        SegmentationAgreement(network="deeplabv3")(torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32))


def test_a_local_file_is_used_and_a_bad_one_refused(tmp_path):
    torch.manual_seed(0)
    state = deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None, aux_loss=True).state_dict()
    good, other, broken = tmp_path / "good.pth", tmp_path / "other.pth", tmp_path / "broken.pth"
    torch.save(state, good)
    torch.save({"a": torch.zeros(1)}, other)
    broken.write_bytes(b"not weights")
    image = torch.rand(1, 3, 32, 40)
    assert SegmentationAgreement(network="deeplabv3", weights_file=str(good))(image, image).tolist() == [1.0]
    for bad in (other, broken, tmp_path / "absent.pth"):
        with pytest.raises(WeightsError, match=bad.name):
            SegmentationAgreement(network="deeplabv3", weights_file=str(bad))(image, image)
        with pytest.raises(WeightsError, match=r"espnet_p_2_q_8\.pth"):
            SegmentationAgreement(weights_file=str(bad))(image, image)


def test_unknown_measure():
    with pytest.raises(RecipeError, match="miou, accuracy"):
        SegmentationAgreement(measure="dice")
    with pytest.raises(RecipeError, match="espnet, deeplabv3"):
        SegmentationAgreement(network="unet")


def test_void_of_the_clean_image_is_left_out():
    road, car, void = 0, 13, espnet.VOID
    expected = torch.tensor([[[road, road, car, void]]])
    found = torch.tensor([[[road, car, void, car]]])
    # road: 1 of 2; car: none of 2 (what is car where the clean image is void does not count)
    assert label_miou(found, expected, NETWORKS["espnet"]).tolist() == [(1 / 2 + 0 / 2) / 2]
    assert label_accuracy(found, expected, void).tolist() == [1 / 3]
    nothing = torch.full((1, 2, 2), void)
    assert label_miou(torch.zeros_like(nothing), nothing, NETWORKS["espnet"]).tolist() == [1.0]
    assert label_accuracy(torch.zeros_like(nothing), nothing, void).tolist() == [1.0]


def test_espnet_has_the_size_that_its_authors_state():
    network = load_network()
    assert sum(p.numel() for p in network.parameters()) == 364_569


@pytest.mark.parametrize(("height", "width"), [(1, 1), (17, 30), (32, 40)])
def test_espnet_takes_any_size(height, width):
    assert load_network()(torch.rand(1, 3, height, width)).shape == (1, 20, height, width)


def test_espnet_sees_photographs_as_it_learned_to():
    """Each batch norm meets what it learned to expect.

    With these bounds another order of what is joined at any of three places, no fusion, no residual and another scale
    of the image were all found out.
    """
    network, seen = load_network(), {}

    def note(name):
        def hook(module, inputs):
            seen.setdefault(name, []).append((inputs[0].mean((0, 2, 3)), inputs[0].var((0, 2, 3))))

        return hook

    norms = {n: m for n, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)}
    for name, module in norms.items():
        module.register_forward_pre_hook(note(name))
    for photo in photos()[:5]:
        image = Image.open(photo).convert("RGB")
        image.thumbnail((384, 384))
        network(torch.tensor(np.asarray(image)).permute(2, 0, 1)[None] / 255)
    for name, module in norms.items():
        mean, variance = (torch.stack(values).mean(0) for values in zip(*seen[name], strict=True))
        learned = module.running_var.clamp(min=1e-12)
        assert ((mean - module.running_mean) / learned.sqrt()).abs().median() < 0.95, name
        assert 0.15 < (variance / learned).median() < 5, name


def test_a_map_is_a_picture_of_its_labels():
    metric, image = SegmentationAgreement(), torch.rand(1, 3, 9, 16)
    labels, picture = metric.labels(image), metric.seen(image)
    assert picture.shape == image.shape
    for y, x in ((0, 0), (8, 15)):
        expected = torch.tensor(espnet.COLOURS[labels[0, y, x]]) / 255
        assert torch.equal(picture[0, :, y, x], expected)


def test_colours_of_pascal_voc():
    # aeroplane, person, tv/monitor as the data set's development kit has them
    assert [segmentation.voc_colours(21)[i] for i in (0, 1, 15, 20)] == [
        (0, 0, 0),
        (128, 0, 0),
        (192, 128, 128),
        (0, 64, 128),
    ]


def test_more_noise_on_photographs_agrees_less():
    metric, generator = SegmentationAgreement(), torch.Generator().manual_seed(0)
    scores = []
    for photo in photos()[:3]:
        image = Image.open(photo).convert("RGB")
        image.thumbnail((160, 160))
        clean = torch.tensor(np.asarray(image)).permute(2, 0, 1)[None] / 255
        noise = torch.randn(clean.shape, generator=generator)
        scores.append([metric((clean + amount * noise).clamp(0, 1), clean).item() for amount in (0, 0.02, 0.1, 0.3)])
    ladder = np.mean(scores, axis=0)
    assert ladder[0] == 1 > ladder[1] > ladder[2] > ladder[3]
