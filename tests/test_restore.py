"""Restorers: every kind of image comes back as the same kind, at any size, whatever the batch and the memory."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from restorekit.data.images import Picture, read_picture, write_picture
from restorekit.devices import autocast, pick_device, pick_precision
from restorekit.errors import ImageError, RestorekitError
from restorekit.interface import Output, SizeRule
from restorekit.restoring import AdaptiveRestorer, Budget, Restorer, RestorerInfo

torch.set_num_threads(1)


class Halve(nn.Module):
    """Darkens: colour / 2 is easy to check by hand. Remembers the shapes it saw."""

    size_rule = SizeRule(multiple=8, minimum=16)

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.5))
        self.seen = []

    def forward(self, degraded):
        assert degraded.shape[-1] % 8 == degraded.shape[-2] % 8 == 0
        assert min(degraded.shape[-2:]) >= 16
        if not torch.is_grad_enabled():  # else the receptive field is being measured
            self.seen.append(tuple(degraded.shape))
        return Output(degraded * self.weight)


class Blur(nn.Module):
    def __init__(self, kernel=9):
        super().__init__()
        torch.manual_seed(1)
        self.conv = nn.Conv2d(3, 3, kernel, padding=kernel // 2)

    def forward(self, degraded):
        return self.conv(degraded)


def halver(**settings):
    return Restorer(Halve(), device="cpu", **({"precision": "fp32"} | settings))


def noise(*shape, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


SIZES = [(1, 1), (3, 5), (16, 8), (2000, 37)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_arrays_come_back_with_their_type_and_shape(size, dtype):
    image = np.random.default_rng(0).random((*size, 3))
    top = 1 if np.issubdtype(dtype, np.floating) else np.iinfo(dtype).max
    image = (image * top).astype(dtype)
    restored = halver().restore(image)
    assert restored.dtype == dtype
    assert restored.shape == image.shape
    assert np.abs(restored - image / 2).max() <= (0.5 if top > 1 else 1e-6)


@pytest.mark.parametrize("channels", [(), (1,), (2,), (3,), (4,)])
def test_grey_stays_grey_and_alpha_stays(channels):
    image = noise(6, 7, *channels)
    restored = halver().restore(image)
    assert restored.shape == image.shape
    colours = image[..., :-1] if channels in ((2,), (4,)) else image
    kept = restored[..., : colours.shape[-1]] if channels in ((2,), (4,)) else restored
    assert np.abs(kept - colours / 2.0).max() <= 0.5
    if channels in ((2,), (4,)):
        np.testing.assert_array_equal(restored[..., -1], image[..., -1])


@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 3, 4, 5), (1, 4, 5), (4, 4, 5)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64, torch.float16])
def test_tensors_come_back_with_their_type_and_shape(shape, dtype):
    image = torch.rand(shape)
    image = (image * 255).to(dtype) if dtype == torch.uint8 else image.to(dtype)
    before = image.clone()
    restored = halver().restore(image)
    assert (restored.shape, restored.dtype) == (image.shape, dtype)
    count = 3 if shape[-3] >= 3 else 1
    got, want = restored[..., :count, :, :].double(), image[..., :count, :, :].double() / 2
    assert (got - want).abs().max() <= (0.5 if dtype == torch.uint8 else 1e-3)
    assert torch.equal(image, before)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16"])
def test_pillow_images_keep_mode_and_metadata(mode):
    shape = {"L": (4, 5), "LA": (4, 5, 2), "RGB": (4, 5, 3), "RGBA": (4, 5, 4), "I;16": (4, 5)}[mode]
    pixels = noise(*shape, dtype=np.uint16 if mode == "I;16" else np.uint8)
    image = Image.fromarray(pixels)
    image.info["dpi"] = (300, 300)
    restored = halver().restore(image)
    assert restored.mode == image.mode == mode
    assert restored.info["dpi"] == (300, 300)
    alpha = mode.endswith("A")
    want = pixels / 2.0
    if alpha:
        want[..., -1] = pixels[..., -1]
    assert np.abs(np.asarray(restored) - want).max() <= 0.5


def test_a_path_gives_a_pillow_image_and_restore_file_keeps_16_bits(tmp_path):
    pixels = noise(9, 5, 3, dtype=np.uint16)
    write_picture(tmp_path / "a.png", Picture(pixels))
    # bf16 keeps 8 bits only: precision auto must not use it here
    restorer = Restorer(Halve(), device="cpu")
    assert restorer.restore(tmp_path / "a.png").size == (5, 9)
    restorer.restore_file(tmp_path / "a.png", tmp_path / "b.tif")
    restored = read_picture(tmp_path / "b.tif").pixels
    assert restored.dtype == np.uint16
    assert np.abs(restored - pixels / 2.0).max() <= 0.5 + 1e-2


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((4, 4, 5), np.uint8), "shape"),
        (np.zeros((0, 4, 3), np.uint8), "at least one pixel"),
        (np.zeros((4, 4, 3), np.int64), "int64"),
        (np.full((4, 4, 3), np.nan, np.float32), "NaN"),
        (np.full((4, 4, 3), 200.0, np.float32), "outside"),
        (np.full((4, 4, 3), -0.5, np.float32), "outside"),
        (torch.zeros(4, 4), "shape"),
        (torch.zeros(5, 4, 4), "1 to 4 channels"),
        (torch.zeros(3, 4, 4, dtype=torch.int64), "int64"),
        (torch.full((3, 4, 4), float("inf")), "infinite"),
        (Image.new("F", (3, 3)), "'F'"),
        (Image.new("RGB", (0, 3)), "at least one pixel"),
        ([[1, 2], [3, 4]], "list"),
    ],
)
def test_bad_input_is_refused(image, words):
    with pytest.raises(ImageError, match=words):
        halver().restore(image)


@pytest.mark.parametrize("dtype", [">u2", "<u2", ">f4", ">f8"])
def test_arrays_of_either_byte_order_give_the_same_values(dtype):
    native = np.random.default_rng(0).random((4, 5, 3)).astype(np.float32)
    if dtype[1] == "u":
        native = (native * 65535).astype(np.uint16)
    restored = halver().restore(native.astype(dtype))
    assert restored.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(restored.astype(native.dtype), halver().restore(native))


@pytest.mark.filterwarnings("error")
def test_a_tensor_that_requires_gradients_is_restored_without_them():
    assert not halver().restore(torch.rand(3, 4, 4, requires_grad=True)).requires_grad


@pytest.mark.parametrize("bad", [torch.zeros(1, 4, 4), torch.zeros(3, 4, 4, dtype=torch.uint8), torch.zeros(3, 0, 4)])
def test_restore_tensor_is_strict(bad):
    with pytest.raises(ImageError):
        halver().restore_tensor(bad)


@pytest.mark.parametrize("size", SIZES)
def test_restore_tensor_clips_and_pads_to_the_size_rule(size):
    restorer = halver()
    restorer.generator.weight.data.fill_(3.0)
    image = torch.rand(1, 3, *size)
    restored = restorer.restore_tensor(image)
    assert torch.equal(restored, (image * 3).clamp(0, 1))
    assert restored.dtype == torch.float32


def test_a_result_does_not_depend_on_the_batch_nor_on_the_call():
    restorer = Restorer(Blur(), device="cpu", precision="fp32")
    images = torch.rand(3, 3, 20, 30)
    together = restorer.restore_tensor(images)
    for index in range(3):
        assert torch.equal(together[index], restorer.restore_tensor(images[index]))
    assert torch.equal(together, restorer.restore_tensor(images))


def test_values_that_are_not_finite_are_an_error():
    restorer = halver()
    restorer.generator.weight.data.fill_(float("nan"))
    with pytest.raises(RestorekitError, match="not finite"):
        restorer.restore_tensor(torch.rand(3, 4, 4))


def test_tiles_equal_the_whole_image():
    image = torch.rand(3, 150, 90)
    whole = Restorer(Blur(), device="cpu", precision="fp32", tile=0).restore_tensor(image)
    tiled = Restorer(Blur(), device="cpu", precision="fp32", tile=60).restore_tensor(image)
    assert (whole - tiled).abs().max() < 1e-6


def test_automatic_tiles_follow_the_memory_budget(monkeypatch):
    restorer = halver()
    image = torch.rand(3, 200, 200)
    restorer.restore_tensor(image)
    assert restorer.generator.seen[-1][-2:] == (200, 200)
    restorer.generator.seen.clear()
    monkeypatch.setattr("restorekit.restoring.restorer.memory_budget", lambda device: 300_000)
    assert torch.allclose(restorer.restore_tensor(image), image / 2)
    largest = max(height * width for *_, height, width in restorer.generator.seen)
    # 48 bytes per pixel: the input in the fast memory layout and the output, 3 floats each, twice for safety
    side = int((300_000 / 48) ** 0.5) // 8 * 8
    assert largest == side * side


@pytest.mark.parametrize("kind", ["fixed", "adaptive"])
@pytest.mark.parametrize("flips", [False, True])
def test_copies_of_the_whole_image_are_counted_beside_the_tiles(monkeypatch, kind, flips):
    network, side = Halve(), 1000
    if kind == "fixed":
        restorer = Restorer(network, device="cpu", precision="fp32", flips=flips)
    else:
        restorer = AdaptiveRestorer(lambda image, budget: network, device="cpu", precision="fp32", flips=flips)
    restorer.restore_tensor(torch.rand(3, 64, 64))
    pixels, budget = side * side, 130_000_000  # 48 bytes a pixel for the network, 72 for copies, 24 with mirroring
    monkeypatch.setattr("restorekit.restoring.restorer.memory_budget", lambda device: budget)
    monkeypatch.setattr("restorekit.restoring.restorer._LEAST", 1e6)
    network.seen.clear()
    restorer.restore_tensor(torch.rand(3, side, side))
    largest = max(height * width for *_, height, width in network.seen)
    copies = (72 + 24 * flips) * pixels
    assert pixels * 48 < budget < pixels * 48 + (72 + 24) * pixels
    assert (largest == pixels) is not flips
    assert largest * 48 + copies <= budget


class Hungry(Blur):
    """Runs out of memory above `limit` pixels, as torch reports it on the device or on the CPU."""

    def __init__(self, limit, error):
        super().__init__(3)
        self.limit, self.error, self.failures = limit, error, 0

    def forward(self, degraded):
        if degraded.shape[-1] * degraded.shape[-2] > self.limit:
            self.failures += not torch.is_grad_enabled()  # measuring the receptive field does not count
            raise self.error
        return super().forward(degraded)


CPU_ERROR = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")


@pytest.mark.parametrize(
    "error",
    [
        CPU_ERROR,
        torch.OutOfMemoryError("CUDA out of memory."),
        MemoryError(),
        RuntimeError("could not create a primitive"),
    ],
)
def test_out_of_memory_halves_the_tile(error):
    image = torch.rand(3, 200, 300)
    hungry = Restorer(Hungry(100 * 100, error), device="cpu", precision="fp32", tile=0)
    restored = hungry.restore_tensor(image)
    assert hungry.generator.failures == 2  # 300 x 200, 150 x 150
    expected = Restorer(Blur(3), device="cpu", precision="fp32", tile=0).restore_tensor(image)
    assert (restored - expected).abs().max() < 1e-6


def test_out_of_memory_in_the_smallest_tile_is_an_error_and_other_errors_are_not_hidden():
    hungry = Restorer(Hungry(10, CPU_ERROR), device="cpu", precision="fp32", tile=0)
    with pytest.raises(RestorekitError, match="not even in tiles of 64"):
        hungry.restore_tensor(torch.rand(3, 200, 300))
    broken = Restorer(Hungry(10, RuntimeError("shapes differ")), device="cpu", precision="fp32", tile=0)
    with pytest.raises(RuntimeError, match="shapes differ"):
        broken.restore_tensor(torch.rand(3, 200, 300))


def test_flips_average_the_mirror_image():
    image = torch.rand(3, 12, 17)
    blur = Blur(3)
    plain, both = (Restorer(blur, device="cpu", precision="fp32", flips=flips) for flips in (False, True))
    with torch.inference_mode():
        expected = (blur(image[None])[0] + blur(image.flip(-1)[None])[0].flip(-1)) / 2
    assert torch.allclose(both.restore_tensor(image), expected.clamp(0, 1), atol=1e-6)
    assert not torch.allclose(plain.restore_tensor(image), both.restore_tensor(image), atol=1e-3)


def test_the_network_is_set_to_evaluation():
    net = nn.Sequential(nn.Dropout(0.5), Blur(3)).train()
    restorer = Restorer(net, device="cpu", precision="fp32")
    image = torch.rand(3, 8, 8)
    assert not net.training
    assert torch.equal(restorer.restore_tensor(image), restorer.restore_tensor(image))


def test_bf16_is_close_to_fp32():
    image = torch.rand(3, 32, 32)
    exact, fast = (Restorer(Blur(), device="cpu", precision=p).restore_tensor(image) for p in ("fp32", "bf16"))
    assert 0 < (exact - fast).abs().max() < 0.01
    assert fast.dtype == torch.float32


def test_adaptive_restorer_with_a_network_learns_once_with_gradients():
    calls = []

    def adapt(image, budget):
        calls.append((tuple(image.shape), budget.steps))
        net = Blur(3)
        loss = (net(image) - image).square().mean()
        loss.backward()  # an image from inference mode could not be differentiated
        return net

    info = RestorerInfo(model="learner", adaptive=True)
    restorer = AdaptiveRestorer(adapt, Budget(steps=7), device="cpu", precision="fp32", flips=True, info=info)
    image = torch.rand(2, 3, 10, 14)
    with torch.inference_mode():
        restored = restorer.restore_tensor(image)
    assert calls == [((1, 3, 10, 14), 7)] * 2
    fixed = Restorer(Blur(3), device="cpu", precision="fp32", flips=True)
    assert torch.equal(restored, fixed.restore_tensor(image))
    assert restorer.restore(noise(10, 14, 3)).shape == (10, 14, 3)


def test_adaptive_restorer_with_an_image_takes_it_as_it_is():
    restorer = AdaptiveRestorer(lambda image, budget: image * 2, device="cpu")
    image = torch.rand(3, 5, 7)
    assert torch.equal(restorer.restore_tensor(image), (image * 2).clamp(0, 1))
    wrong = AdaptiveRestorer(lambda image, budget: image[..., :-1], device="cpu")
    with pytest.raises(RestorekitError, match="error of the model"):
        wrong.restore_tensor(image)


@pytest.mark.parametrize("values", [{"steps": 0}, {"seconds": -1.0}])
def test_budgets_are_positive(values):
    with pytest.raises(RestorekitError, match="positive"):
        Budget(**values)


def test_tiles_too_small_for_the_network_are_told_once(caplog):
    image = torch.rand(1, 3, 64, 64)
    for _ in range(2):
        Restorer(Blur(21), device="cpu", precision="fp32", tile=16).restore_tensor(image)
    (said,) = caplog.messages
    assert re.search(r"tiles of 16 pixels are small for this network, which looks \d+ pixels far", said)


@pytest.mark.parametrize("tile", [-1, 1, 15, "big", 1.5, True])
def test_bad_tiles_are_refused(tile):
    with pytest.raises(RestorekitError, match="tile"):
        halver(tile=tile)


def test_devices_and_precisions():
    cpu = pick_device("cpu")
    assert pick_device(torch.device("cpu")) == cpu
    assert pick_device("auto").type in ("cpu", "cuda", "mps")
    for name, words in {"gpu": "unknown", "cuda:x": "unknown", "": "unknown"}.items():
        with pytest.raises(RestorekitError, match=words):
            pick_device(name)
    if not torch.cuda.is_available():
        with pytest.raises(RestorekitError, match="not available"):
            pick_device("cuda")
    assert pick_precision("fp32", cpu) == "fp32"
    assert pick_precision("auto", cpu) in ("fp32", "bf16")
    with pytest.raises(RestorekitError, match="not supported on the CPU"):
        pick_precision("fp16", cpu)
    with pytest.raises(RestorekitError, match="bf16"):
        pick_precision("bf61", cpu)
    with autocast(cpu, "bf16"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
