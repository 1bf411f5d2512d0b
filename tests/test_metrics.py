"""Metrics against scikit-image, closed forms and the reference scores of Rain100L."""

import json
import math
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from restorekit.backbones import pretrained as backbones
from restorekit.backbones.lpips_network import MINIMUM
from restorekit.errors import ImageError, RecipeError, UnknownNameError, WeightsError
from restorekit.metrics.learned import LPIPS
from restorekit.metrics.protocols import PROTOCOLS, levels, planes
from restorekit.metrics.quality import PSNR, SSIM, score_image

RAIN100L = Path(__file__).resolve().parents[1] / ".." / "shared" / "data" / "rain100l"
needs_rain100l = pytest.mark.skipif(not RAIN100L.is_dir(), reason="shared/data/rain100l is not here")


@pytest.fixture(autouse=True)
def one_thread():
    """Speed is stated for one core."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pair(height=40, width=53, noise=12, seed=0):
    """A random clean 8-bit image and a noisy copy, [H, W, 3]."""
    rng = np.random.default_rng(seed)
    clean = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    noisy = np.clip(clean + rng.normal(0, noise, clean.shape), 0, 255).astype(np.uint8)
    return noisy, clean


def as_tensor(image_HWC):
    return torch.from_numpy(image_HWC).permute(2, 0, 1)[None].float() / 255


def luma(image_HWC, protocol):
    r, g, b = (image_HWC[..., i].astype(np.float64) for i in range(3))
    if protocol == "y-matlab":
        return 16 + 65.481 * r / 255 + 128.553 * g / 255 + 24.966 * b / 255
    return 0.299 * r + 0.587 * g + 0.114 * b


GAUSSIAN = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}


def skimage_ssim(a, b, **settings):
    _, full = structural_similarity(a, b, full=True, **settings)
    return full[5:-5, 5:-5].mean()


@pytest.mark.parametrize("shape", [(40, 53), (11, 11), (12, 31)])
def test_rgb_and_luma_agree_with_scikit_image(shape):
    noisy, clean = pair(*shape)
    scores = score_image(noisy, clean)
    assert scores["psnr-rgb"] == pytest.approx(peak_signal_noise_ratio(clean, noisy), abs=1e-10)
    channels = [skimage_ssim(noisy[..., i].astype(float), clean[..., i].astype(float), **GAUSSIAN) for i in range(3)]
    assert scores["ssim-rgb"] == pytest.approx(np.mean(channels), abs=1e-10)
    for protocol in ("y-matlab", "y-cv2"):
        a, b = luma(noisy, protocol), luma(clean, protocol)
        assert scores[f"psnr-{protocol}"] == pytest.approx(peak_signal_noise_ratio(b, a, data_range=255), abs=1e-10)
        assert scores[f"ssim-{protocol}"] == pytest.approx(skimage_ssim(a, b, **GAUSSIAN), abs=1e-10)


def test_qian2018_agrees_with_scikit_image_defaults_on_rounded_luma():
    noisy, clean = pair(43, 54)
    a, b = (np.floor(luma(image[:40, :52], "y-cv2") + 0.5).astype(np.uint8) for image in (noisy, clean))
    scores = score_image(noisy, clean, ["qian2018"])
    assert set(scores) == {"psnr-qian2018", "ssim-qian2018"}
    assert scores["psnr-qian2018"] == pytest.approx(peak_signal_noise_ratio(b, a), abs=1e-10)
    assert scores["ssim-qian2018"] == pytest.approx(structural_similarity(a, b), abs=1e-10)


def test_exact_halves_of_luma_go_up():
    image = torch.tensor([100.0, 0, 100]).view(1, 3, 1, 1)  # 29.9 + 11.4 = 41.3
    half = torch.tensor([50.0, 0, 75]).view(1, 3, 1, 1)  # 14.95 + 8.55 = 23.5 exactly
    assert planes(image.double().expand(1, 3, 4, 4), PROTOCOLS["qian2018"])[0, 0, 0, 0] == 41
    assert planes(half.double().expand(1, 3, 4, 4), PROTOCOLS["qian2018"])[0, 0, 0, 0] == 24


def test_rounding_truncation_and_clipping():
    values = torch.tensor([10.4, 10.5, 10.9, -3, 300]) / 255
    assert levels(values).tolist() == [10, 11, 11, 0, 255]
    assert levels(values, truncate=True).tolist() == [10, 10, 10, 0, 255]
    every = torch.arange(256)
    assert torch.equal(levels(every.float() / 255, truncate=True), every.double())
    assert torch.equal(levels(every.double() / 255, truncate=True), every.double())
    assert torch.equal(levels(every.to(torch.uint8)), every.double())


def test_only_the_restored_image_is_truncated():
    clean = torch.full((1, 3, 16, 16), 100 / 255)
    restored = torch.full((1, 3, 16, 16), 100.9 / 255)
    assert math.isinf(PSNR("qian2018")(restored, clean).item())
    assert PSNR("y-cv2")(restored, clean).item() == pytest.approx(20 * math.log10(255), abs=1e-9)


def test_psnr_of_a_constant_shift_is_closed_form():
    clean = torch.full((2, 3, 12, 12), 100 / 255)
    restored = clean + torch.tensor([5, 20]).view(2, 1, 1, 1) / 255
    expected = [20 * math.log10(255 / 5), 20 * math.log10(255 / 20)]
    assert PSNR()(restored, clean).tolist() == pytest.approx(expected, abs=1e-9)
    # the weights of limited-range luma add up to 219, so a shift of 20 becomes 20 * 219 / 255
    matlab = PSNR("y-matlab")(restored, clean)[1].item()
    assert matlab == pytest.approx(expected[1] + 20 * math.log10(255 / 219), abs=1e-9)


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_tensors_and_arrays_agree_and_batches_are_independent(protocol):
    pairs = [pair(seed=i, noise=5 + 9 * i) for i in range(3)]
    restored, clean = (torch.cat([as_tensor(p[k]) for p in pairs]) for k in (0, 1))
    for metric, name in ((PSNR(protocol), "psnr"), (SSIM(protocol), "ssim")):
        scores = metric(restored, clean)
        assert scores.dtype == torch.float64
        assert scores.shape == (3,)
        expected = [score_image(*p, [protocol])[f"{name}-{protocol}"] for p in pairs]
        assert scores.tolist() == pytest.approx(expected, abs=1e-9)
        assert metric.higher_is_better
        assert scores[0] > scores[1] > scores[2]


def test_identical_images_score_infinity_and_one():
    _, clean = pair()
    scores = score_image(clean, clean)
    assert all(math.isinf(scores[f"psnr-{p}"]) for p in PROTOCOLS)
    assert all(scores[f"ssim-{p}"] == pytest.approx(1, abs=1e-12) for p in PROTOCOLS)


def test_nan_is_not_hidden():
    noisy, clean = (as_tensor(image) for image in pair())
    noisy[0, 0, 3, 3] = math.nan
    for protocol in PROTOCOLS:
        assert math.isnan(PSNR(protocol)(noisy, clean).item())


def test_sizes_and_types_that_cannot_be_scored_are_refused():
    noisy, clean = pair(10, 30)
    with pytest.raises(ImageError, match="at least 11x11"):
        score_image(noisy, clean, ["rgb"])
    with pytest.raises(ImageError, match="leaves nothing"):
        PSNR("qian2018")(torch.rand(1, 3, 3, 9), torch.rand(1, 3, 3, 9))
    with pytest.raises(ImageError, match="same shape"):
        score_image(noisy[:, :20], clean)
    with pytest.raises(ImageError, match=r"\[H, W, 3\]"):
        score_image(noisy[..., 0], clean)
    with pytest.raises(ImageError, match="uint16"):
        score_image(noisy.astype(np.uint16), clean)
    with pytest.raises(UnknownNameError, match="y-matlab"):
        PSNR("y-mathlab")
    assert PSNR()(torch.zeros(1, 3, 1, 1), torch.ones(1, 3, 1, 1)).item() == pytest.approx(0)


@needs_rain100l
@pytest.mark.parametrize("kind", ["input", "prenet"])
def test_reference_scores_of_rain100l(kind):
    reference = json.loads((RAIN100L / "reference-scores.json").read_text())[kind]
    compared = 0
    for stem, protocols in reference.items():
        folder = RAIN100L / ("test/rainy" if kind == "input" else "outputs-prenet")
        path = folder / f"rain-{stem}.png"
        if not path.is_file():  # the mean, and outputs of which only every third is here
            continue
        restored, clean = (
            np.asarray(Image.open(file).convert("RGB"))
            for file in (path, RAIN100L / "test" / "gt" / f"norain-{stem}.png")
        )
        scores = score_image(restored, clean, protocols)
        for protocol, expected in protocols.items():
            assert scores[f"psnr-{protocol}"] == pytest.approx(expected["psnr"], abs=1e-3)
            assert scores[f"ssim-{protocol}"] == pytest.approx(expected["ssim"], abs=1e-5)
        compared += 1
    assert compared == {"input": 50, "prenet": 19}[kind]


def test_four_protocols_of_one_image_are_fast():
    noisy, clean = pair(321, 481)
    score_image(noisy, clean)
    took = []
    for _ in range(5):
        start = time.process_time()
        score_image(noisy, clean)
        took.append(time.process_time() - start)
    assert min(took) < 0.3, f"{min(took):.3f} s of processor time"


@pytest.fixture
def alexnet_file(tmp_path):
    """Random weights in torchvision's layout: good enough to see what is computed with them."""
    import torchvision

    torch.manual_seed(0)
    path = tmp_path / "alexnet.pth"
    features = torchvision.models.alexnet(num_classes=1).features
    torch.save({f"features.{k}": v for k, v in features.state_dict().items()}, path)
    return str(path)


def test_lpips_is_zero_for_equal_images_and_grows(alexnet_file):
    metric = LPIPS(weights=alexnet_file)
    clean = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    noise = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    near, far = metric(clean + 0.03 * noise, clean), metric(clean + 0.3 * noise, clean)
    assert metric(clean, clean).abs().max() == 0
    assert (near > 0).all()
    assert (far > near).all()
    assert near.dtype == torch.float64
    assert near.shape == (2,)
    assert not metric.higher_is_better
    assert not metric.state_dict()
    smallest = MINIMUM["alex"]
    assert metric(clean[..., :smallest, :smallest], clean[..., :smallest, :smallest]).abs().max() == 0
    with pytest.raises(ImageError, match="at least 31x31"):
        metric(clean[..., :30], clean[..., :30])


def test_lpips_uses_the_weights_of_the_file(alexnet_file):
    """Against LPIPS written out: unit-normalised activations, squared differences, the package's linear weights."""
    metric = LPIPS(weights=alexnet_file)
    clean, other = torch.rand(2, 1, 3, 40, 40, generator=torch.Generator().manual_seed(3))
    other, clean = (levels(x).float() / 255 for x in (other, clean))
    import torchvision

    trunk = torchvision.models.alexnet(num_classes=1).features.eval()
    trunk.load_state_dict(
        {k.removeprefix("features."): v for k, v in torch.load(alexnet_file, weights_only=True).items()}
    )

    def activations(image):
        shift, scale = (torch.tensor(v).view(1, 3, 1, 1) for v in ((-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)))
        hidden, taken = (2 * image - 1 - shift) / scale, []
        for i, layer in enumerate(trunk[:12]):
            hidden = layer(hidden)
            if i in (1, 4, 7, 9, 11):
                taken.append(hidden / hidden.square().sum(1, keepdim=True).sqrt().add(1e-10))
        return taken

    with torch.no_grad():
        expected = sum(
            (metric.network.lins[i].model[-1].weight * (a - b).square()).sum(1).mean()
            for i, (a, b) in enumerate(zip(activations(other), activations(clean), strict=True))
        )
    assert metric(other, clean).item() == pytest.approx(expected.item(), rel=1e-4)


def test_lpips_without_network_or_with_a_wrong_file_says_what_to_do(tmp_path, monkeypatch):
    def offline(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(backbones.torchvision.models.AlexNet_Weights, "get_state_dict", offline)
    with pytest.raises(WeightsError, match="weights add alexnet FILE"):
        LPIPS()
    with pytest.raises(WeightsError, match="there is no weights file"):
        LPIPS(weights=str(tmp_path / "none.pth"))
    torch.save({"features.0.weight": torch.zeros(3)}, tmp_path / "bad.pth")
    with pytest.raises(WeightsError, match="does not fit alexnet"):
        LPIPS(weights=str(tmp_path / "bad.pth"))
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(WeightsError, match="cannot be read"):
        LPIPS(weights=str(tmp_path / "text.pth"))
    with pytest.raises(RecipeError, match="'alex'"):
        LPIPS(net="alexx")


def test_composed_protocols_do_first_what_they_say():
    generator = torch.Generator().manual_seed(3)
    restored, clean = (torch.randint(0, 256, (2, 3, 40, 50), generator=generator).byte() for _ in range(2))
    cropped = PSNR("rgb+crop8")(restored, clean)
    assert torch.equal(cropped, PSNR("rgb")(restored[..., 8:-8, 8:-8], clean[..., 8:-8, 8:-8]))
    twice = PSNR("y-matlab+crop2+crop3")(restored, clean)
    assert torch.equal(twice, PSNR("y-matlab")(restored[..., 5:-5, 5:-5], clean[..., 5:-5, 5:-5]))
    pixels = [[Image.fromarray(i.permute(1, 2, 0).numpy()) for i in batch] for batch in (restored, clean)]
    small = [np.stack([np.asarray(i.resize((16, 16), Image.Resampling.BICUBIC)) for i in batch]) for batch in pixels]
    expected = PSNR("rgb")(*(torch.from_numpy(s).permute(0, 3, 1, 2) for s in small))
    assert PSNR("rgb+resize16")(restored, clean) == pytest.approx(expected, abs=0.05)  # Pillow rounds between passes
    assert set(score_image(np.zeros((40, 40, 3), np.uint8), np.ones((40, 40, 3), np.uint8), ["qian2018+crop1"])) == {
        "psnr-qian2018+crop1",
        "ssim-qian2018+crop1",
    }


@pytest.mark.parametrize("name", ["rgb+crop", "rgb+crop0", "rgb+", "rgb+zoom2", "+crop2", "rgb+crop99999"])
def test_unknown_compositions_are_refused(name):
    with pytest.raises(UnknownNameError, match=r"\+cropN"):
        PSNR(name)


def test_a_crop_that_leaves_nothing_is_said():
    with pytest.raises(ImageError, match=r"rgb\+crop8.*leaves nothing of an image of 16x20"):
        PSNR("rgb+crop8")(torch.zeros(1, 3, 16, 20), torch.zeros(1, 3, 16, 20))
