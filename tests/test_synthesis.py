"""The synthesizer and the built-in sets, against independent measurements (NumPy, SciPy)."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from kornia.color import rgb_to_linear_rgb
from PIL import Image
from scipy import ndimage

from restorekit.data.augment import augment
from restorekit.data.builtin import photos
from restorekit.data.builtin.sets import builtin_pairs
from restorekit.data.synthesis import DROP_PRESETS, add_drops, add_streaks, presets, synthesize
from restorekit.data.synthesis.aperture import kernels, out_of_focus, spread
from restorekit.data.synthesis.defocus import defocus
from restorekit.data.synthesis.raindrop_settings import BOKEH, DROPS, SOFT
from restorekit.data.synthesis.streaks import HEAVY, LIGHT, PRESETS, REAL
from restorekit.errors import DataError, UnknownNameError
from restorekit.interface import Batch
from restorekit.recipe.parts import Data, Synthesis

CASES = [*[("raindrop", name) for name in DROP_PRESETS], *[("rain-streak", name) for name in PRESETS]]


def scene(count=1, height=96, width=120, seed=0, dtype=torch.float32):
    """Smooth coloured noise in [0, 1], with structure at several scales."""
    rng = np.random.default_rng(seed)
    image = sum(ndimage.gaussian_filter(rng.normal(size=(count, 3, height, width)), (0, 0, s, s)) * s for s in (1, 6))
    image = (image - image.min()) / (image.max() - image.min())
    return torch.from_numpy(image).to(dtype)


def photo(index, dtype=torch.float32):
    with Image.open(photos()[index]) as image:
        pixels = np.asarray(image.convert("RGB"))
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].to(dtype) / 255


@pytest.mark.parametrize(("task", "preset"), CASES)
class TestEverySynthesizer:
    def test_same_key_same_result_and_other_key_another(self, task, preset):
        clean = scene(2)
        first = synthesize(clean, torch.tensor([5, 6]), task, preset)
        torch.rand(7)  # the global generator must not matter
        again = synthesize(clean, torch.tensor([5, 6]), task, preset)
        other = synthesize(clean, torch.tensor([7, 8]), task, preset)
        assert torch.equal(first[0], again[0])
        assert torch.equal(first[1], again[1])
        assert not torch.equal(first[0], other[0])

    def test_sample_does_not_depend_on_its_batch(self, task, preset):
        clean, keys = scene(5), torch.tensor([3, 1, 4, 2**31 - 1, 5])
        together, masks = synthesize(clean, keys, task, preset)
        for i in (0, 3):
            alone, mask = synthesize(clean[i : i + 1], keys[i : i + 1], task, preset)
            torch.testing.assert_close(together[i : i + 1], alone, rtol=0, atol=1e-6)
            assert (masks[i : i + 1] != mask).sum() <= 1  # a pixel may lie on the threshold

    @pytest.mark.parametrize("size", [(33, 47), (1, 1), (7, 5), (64, 3)])
    def test_any_size_stays_in_range(self, task, preset, size):
        clean = scene(3, *size) if min(size) > 1 else torch.full((3, 3, *size), 0.5)
        degraded, mask = synthesize(clean, torch.arange(3), task, preset)
        assert degraded.shape == clean.shape
        assert mask.shape == (3, 1, *size)
        assert degraded.isfinite().all()
        assert degraded.min() >= 0
        assert degraded.max() <= 1
        assert set(mask.unique().tolist()) <= {0.0, 1.0}

    def test_double_precision_agrees_with_single(self, task, preset):
        clean, keys = scene(2, dtype=torch.float64), torch.tensor([11, 12])
        double, _ = synthesize(clean, keys, task, preset)
        single, _ = synthesize(clean.float(), keys, task, preset)
        assert double.dtype == torch.float64
        assert single.dtype == torch.float32
        torch.testing.assert_close(double.float(), single, rtol=0, atol=2e-3)

    @pytest.mark.gpu
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
    def test_gpu_agrees_with_cpu(self, task, preset):
        clean, keys = scene(3), torch.arange(3)
        there, _ = synthesize(clean.cuda(), keys.cuda(), task, preset)
        here, _ = synthesize(clean, keys, task, preset)
        torch.testing.assert_close(there.cpu(), here, rtol=0, atol=2e-3)


def residuals(settings):
    """Degraded minus clean over 16 keys and four photographs that are neither dark nor white: [16, 3, 320, 480]."""
    clean = torch.cat([photo(index)[..., :320, :480] for index in (4, 5, 6, 0)] * 4)
    degraded, _ = add_streaks(clean, torch.arange(16), settings)
    return (degraded - clean).numpy()


@pytest.mark.parametrize(
    ("settings", "share_2", "share_10", "median", "p95"),
    [
        (LIGHT, (0.15, 0.34), (0.06, 0.18), (0.06, 0.13), (0.16, 0.42)),
        (HEAVY, (0.80, 0.98), (0.65, 0.94), (0.13, 0.34), (0.33, 0.67)),
        (REAL, (0.14, 0.69), (0.03, 0.52), (0.05, 0.10), (0.10, 0.21)),
    ],
    ids=["light", "heavy", "real"],
)
def test_streaks_measure_like_the_real_sets(settings, share_2, share_10, median, p95):
    """Medians over images within the 10 to 90 % range of Rain100L, Rain100H and GT-RAIN."""
    grey = residuals(settings).mean(1)
    rows = np.array(
        [
            [
                (g > 2 / 255).mean(),
                (g > 10 / 255).mean(),
                np.median(g[g > 10 / 255]),
                np.quantile(g[g > 10 / 255], 0.95),
            ]
            for g in grey
        ]
    )
    for value, (low, high) in zip(np.median(rows, axis=0), (share_2, share_10, median, p95), strict=True):
        assert low <= value <= high, np.median(rows, axis=0)


def test_streaks_only_add_the_same_light_to_every_channel():
    residual = residuals(replace(LIGHT, screen=(0.0, 0.0)))
    assert residual.min() >= 0
    clean = torch.full((4, 3, 60, 80), 0.2)
    degraded, rain = add_streaks(clean, torch.arange(4), replace(LIGHT, screen=(0.0, 0.0)))
    torch.testing.assert_close(degraded, (clean + rain).clamp(max=1))


def test_screen_composition_is_that_of_two_projectors():
    clean = scene(3)
    degraded, rain = add_streaks(clean, torch.arange(3), replace(LIGHT, screen=(1.0, 1.0), ceiling=(0.3, 0.3)))
    expected = 1 - (1 - clean.numpy()) * (1 - rain.numpy())
    np.testing.assert_allclose(degraded.numpy(), np.clip(expected, 0, 1), atol=1e-6)


@pytest.mark.parametrize("angle", [0.0, 12.0, 30.0])
def test_streaks_point_where_the_settings_say(angle):
    """The structure tensor of the rain layer gives the direction, in degrees from vertical."""
    settings = replace(LIGHT, angle=(angle, angle), spread=(0.0, 0.0), width=(3.0, 3.0), length=(60.0, 60.0))
    _, rain = add_streaks(torch.zeros(4, 3, 200, 200), torch.arange(4), settings)
    for layer in rain[:, 0].numpy():
        gy, gx = (ndimage.gaussian_filter(layer, 1.0, order=o) for o in ((1, 0), (0, 1)))
        measured = np.degrees(0.5 * np.arctan2(2 * (gx * gy).sum(), (gx * gx).sum() - (gy * gy).sum()))
        assert abs(abs(measured) - angle) < 3


def test_streaks_are_two_pixels_wide_and_taper():
    """Half width of the autocorrelation across is about 2 pixels, along 9 to 25 (Rain100L)."""
    _, rain = add_streaks(
        torch.zeros(8, 3, 240, 320), torch.arange(8), replace(LIGHT, angle=(0.0, 0.0), spread=(0.0, 0.0))
    )
    halves = []
    for layer in rain[:, 0].numpy():
        layer = layer - layer.mean()
        correlation = np.fft.irfft2(np.abs(np.fft.rfft2(layer, (480, 640))) ** 2, (480, 640))
        correlation /= correlation[0, 0]
        halves.append([np.argmax(correlation[:100, 0] < 0.5), np.argmax(correlation[0, :100] < 0.5)])
    along, across = np.median(halves, axis=0)
    assert 9 <= along <= 25
    assert 1 <= across <= 2
    values = rain[rain > 0.02]
    assert values.std() / values.mean() > 0.5  # not lines of constant brightness


def test_streak_mask_marks_the_rain():
    clean = torch.full((2, 3, 80, 80), 0.3)
    degraded, mask = synthesize(clean, torch.tensor([1, 2]), "rain-streak", "medium")
    lighter = (degraded - clean).amin(1, keepdim=True)
    assert (lighter[mask == 0] <= 2 / 255 + 1e-6).all()
    assert (lighter[mask == 1] > 1 / 255).all()


def drop_rows():
    """Coverage, number, median and large diameter, brightening: drops on each photograph at 720x480."""
    rows = []
    for index in range(len(photos())):
        clean = torch.nn.functional.interpolate(photo(index), (480, 720), mode="bilinear")
        for key in (index, index + 100):
            degraded, mask = add_drops(clean, torch.tensor([key]))
            inside = mask[0, 0].numpy() > 0
            labels, found = ndimage.label(inside)
            areas = ndimage.sum(inside, labels, range(1, found + 1))
            diameters = np.sqrt(4 * areas[areas >= 30] / np.pi)
            change = (degraded - clean)[0].mean(0).numpy() * 255
            rows.append([inside.mean(), len(diameters), *np.percentile(diameters, (50, 90)), change[inside].mean()])
    return np.array(rows)


def test_drops_measure_like_the_real_pairs():
    coverage, number, middle, large, brighter = np.mean(drop_rows(), axis=0)
    assert 0.12 <= coverage <= 0.29
    assert 40 <= number <= 75
    assert 10 <= middle <= 16
    assert 36 <= large <= 55
    assert 35 <= brighter <= 60


def test_drop_mask_is_where_the_images_differ():
    clean = scene(4, 120, 160)
    degraded, mask = add_drops(clean, torch.arange(4))
    expected = np.abs(degraded.numpy() - clean.numpy()).max(axis=1, keepdims=True) > 30 / 255
    assert np.array_equal(mask.numpy() > 0, expected)
    assert 0 < mask.mean() < 1


def test_pixels_outside_the_drops_are_untouched():
    clean = scene(1, 120, 160, dtype=torch.float64)
    degraded, _ = add_drops(clean, torch.tensor([3]), replace(DROPS, count=(4.0, 4.0)))
    assert ((degraded - clean).abs().amax(1) == 0).double().mean() > 0.5


def test_a_drop_shows_the_scene_upside_down():
    clean = torch.zeros(6, 3, 160, 160)
    clean[:, :, :80] = 0.9
    settings = replace(
        DROPS, count=(1.0, 1.0), diameter=(70.0, 70.0), smaller=0.01, larger=0.01, running=(0.0, 0.0),
        opacity=(1.05, 1.05), sky=(0.0, 0.0), rim=(0.0, 0.0), defocus=(1.5, 1.5), view=(1.0, 1.0),
    )  # fmt: skip
    degraded, _ = add_drops(clean, torch.arange(6), settings)
    slopes = []
    for image, before in zip(degraded[:, 0].numpy(), clean[:, 0].numpy(), strict=True):
        for region in ndimage.find_objects(ndimage.label(np.abs(image - before) > 0.02)[0]):
            rows = slice(*region[0].indices(160)[:2])
            if rows.stop <= 78 and rows.stop - rows.start > 30:
                # Before the bright half, what differs is the dark ground, which must be at the top.
                part = image[region]
                slopes.append(part[-len(part) // 3 :].mean() - part[: len(part) // 3].mean())
    assert slopes
    assert np.mean(slopes) > 0.2


def test_soft_drops_have_no_outline():
    """A pane far out of focus: the steepest rise is far below that of drops."""
    clean = torch.full((12, 3, 200, 200), 0.1)
    clean[:, :, :100] = 0.7
    few = {"count": (6.0, 6.0), "diameter": (40.0, 40.0), "smaller": 0.01, "larger": 0.01, "rim": (0.0, 0.0)}

    def steepest(settings):
        degraded, _ = add_drops(clean, torch.arange(12), replace(settings, **few))
        change = (degraded - clean).mean(1)[:, 110:]
        return change.diff(dim=2).abs().amax((1, 2)).mean()

    assert steepest(SOFT) < 0.4 * steepest(DROPS)


def test_detail_is_how_much_of_its_picture_a_drop_keeps():
    clean = torch.zeros(6, 3, 160, 160)
    clean[:, :, :80] = 0.9
    one = replace(
        DROPS, count=(1.0, 1.0), diameter=(70.0, 70.0), smaller=0.01, larger=0.01, running=(0.0, 0.0),
        opacity=(2.0, 2.0), sky=(0.0, 0.0), rim=(0.0, 0.0), defocus=(1.5, 1.5),
    )  # fmt: skip

    def spread(detail):
        degraded, mask = add_drops(clean, torch.arange(6), replace(one, detail=(detail, detail)))
        insides = [ndimage.binary_erosion(m[0].numpy() > 0, iterations=8) for m in mask]
        return max(float(d[0].numpy()[i].std()) for d, i in zip(degraded, insides, strict=True) if i.any())

    assert spread(0.0) < 1e-3
    assert spread(1.0) > 0.02


def test_local_light_comes_from_behind_the_drop():
    clean = torch.zeros(8, 3, 160, 160)
    clean[:, :, :80] = 0.9

    def light(local):
        """Mean light of the upper and of the lower quarter, which drops cover wholly."""
        dense = replace(
            SOFT, count=(900.0, 900.0), opacity=(3.0, 3.0), defocus=(1.0, 1.0), sky=(0.0, 0.0), detail=(0.0, 0.0)
        )
        degraded, _ = add_drops(clean, torch.arange(8), replace(dense, rim=(0.0, 0.0), local=(local, local)))
        return degraded[:, :, :40].mean(), degraded[:, :, 120:].mean()

    upper, lower = light(1.0)
    assert upper > 0.8
    assert lower < 0.1
    assert abs(torch.sub(*light(0.0))) < 0.1  # one colour everywhere: the mean of what a drop shows


def test_mixed_drops_take_both_presets():
    clean, keys = scene(16), torch.arange(16)
    mixed = synthesize(clean, keys, "raindrop", "mixed")[0]
    either = [synthesize(clean, keys, "raindrop", name)[0] for name in ("drops", "soft")]
    same = torch.stack([(mixed - one).abs().flatten(1).amax(1) < 1e-6 for one in either])
    assert same.any(0).all()
    assert same.any(1).all()


def test_sharp_drops_are_many_and_small_and_have_crisp_edges():
    clean = scene(8)
    mask = synthesize(clean, torch.arange(8), "raindrop", "sharp")[1]
    sizes = [ndimage.sum_labels(m[0], *_labelled(m[0].numpy())) for m in mask]
    assert np.median([len(size) for size in sizes]) > 10
    assert 2 < np.median(np.sqrt(np.concatenate(sizes) * 4 / np.pi)) < 14
    steep = [(synthesize(clean, torch.arange(8), "raindrop", name)[0] - clean) for name in ("sharp", "drops")]
    sharp, drops = (change.diff(dim=-1).abs().flatten(1).quantile(0.99, dim=1).mean() for change in steep)
    assert sharp > 1.3 * drops


def _labelled(mask):
    labels, count = ndimage.label(mask)
    return labels, np.arange(1, count + 1)


def test_wide_drops_darken_as_well_as_lighten():
    clean = torch.full((24, 3, 128, 128), 0.5)
    change = (synthesize(clean, torch.arange(24), "raindrop", "wide")[0] - clean).mean(1)
    assert (change < -5 / 255).any((1, 2)).float().mean() > 0.2
    assert (change > 5 / 255).any((1, 2)).float().mean() > 0.4


def test_the_image_of_a_point_out_of_focus_is_the_aperture():
    shapes = torch.tensor([[0.0, 0.5, 0.25], [0.41, 0.5, 0.25], [0.99, 0.0, 1.0]])  # round, five blades, eight
    aperture = kernels(torch.tensor([21.0, 21.0, 21.0]), shapes, 31)
    torch.testing.assert_close(aperture.sum((1, 2)), torch.ones(3))
    areas = [float((one > 0.5 * one.max()).sum()) / (np.pi * 10.5**2) for one in aperture]
    pentagon, octagon = (n / 2 * np.sin(2 * np.pi / n) / np.pi for n in (5, 8))
    assert areas == pytest.approx([1.0, pentagon, octagon], rel=0.06)
    assert aperture[2, 15, 23] > 1.3 * aperture[2, 15, 15]  # a bright rim
    point = torch.zeros(3, 1, 64, 64)
    point[..., 20, 40] = 2.0
    expected = torch.zeros(3, 1, 64, 64)
    expected[:, 0, 5:36, 25:56] = 2 * aperture
    torch.testing.assert_close(spread(point, aperture), expected, atol=1e-6, rtol=0)


def test_drops_out_of_focus_let_the_scene_through_sharp_and_add_light_linearly():
    clean = scene(1, 96, 96)
    cover, light = torch.full((1, 1, 96, 96), 0.3), torch.full((1, 3, 96, 96), 0.5)
    kernel = kernels(torch.tensor([9.0]), torch.zeros(1, 3), 11)
    found = rgb_to_linear_rgb(out_of_focus(clean, cover, light, kernel))
    torch.testing.assert_close(found, 0.7 * rgb_to_linear_rgb(clean) + 0.15, atol=1e-5, rtol=0)


def test_bokeh_covers_more_than_its_drops_and_leaves_no_sharp_edge_of_its_own():
    flat = torch.full((8, 3, 160, 160), 0.25)
    focused, spread_out = (
        synthesize_with(flat, replace(BOKEH, aperture=aperture)) for aperture in ((1.0, 1.0), (40.0, 40.0))
    )
    assert (spread_out > 0.5 / 255).float().mean() > 1.5 * (focused > 0.5 / 255).float().mean()
    assert spread_out.diff(dim=-1).abs().max() < 0.5 * focused.diff(dim=-1).abs().max()


def test_rivulets_are_far_taller_than_wide():
    clean = torch.full((8, 3, 256, 256), 0.5)
    boxes = [
        (rows.stop - rows.start) / (columns.stop - columns.start)
        for mask in synthesize(clean, torch.arange(8), "raindrop", "rivulets")[1]
        for rows, columns in ndimage.find_objects(ndimage.label(mask[0].numpy())[0])
        if rows.stop - rows.start > 12
    ]
    assert np.median(boxes) > 3


def synthesize_with(clean, settings):
    return (add_drops(clean, torch.arange(len(clean)), settings)[0] - clean).abs()


def test_scale_enlarges_drops_and_keeps_their_share():
    clean = torch.zeros(8, 3, 320, 320)
    small = add_drops(clean, torch.arange(8), replace(DROPS, scale=0.5, sky_lift=(1.0, 1.0)))[1].mean()
    large = add_drops(clean, torch.arange(8), replace(DROPS, scale=1.0, sky_lift=(1.0, 1.0)))[1].mean()
    assert 0.4 < small / large < 2.5


def test_bad_input_is_refused_with_a_remedy():
    with pytest.raises(DataError, match=r"\[B, 3, H, W\]"):
        add_streaks(torch.zeros(3, 8, 8), torch.tensor([1]))
    with pytest.raises(DataError, match="float32"):
        add_drops(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.tensor([1]))
    with pytest.raises(DataError, match="one integer per image"):
        add_drops(torch.zeros(2, 3, 8, 8), torch.tensor([1]))
    with pytest.raises(UnknownNameError, match="raindrop"):
        synthesize(torch.zeros(1, 3, 8, 8), torch.tensor([1]), "raindrops")
    with pytest.raises(UnknownNameError, match="heavy"):
        synthesize(torch.zeros(1, 3, 8, 8), torch.tensor([1]), "rain-streak", "heavi")
    assert presets("raindrop") == ("drops", "soft", "sharp", "wide", "bokeh", "rivulets", "mixed", "lens")


def test_photographs_are_small_attributed_rgb_and_need_no_torch():
    found = photos()
    assert 8 <= len(found) <= 10
    assert list(found) == sorted(found)
    assert sum(path.stat().st_size for path in found) < 1_600_000
    notice = (found[0].parent / "ATTRIBUTION.md").read_text(encoding="utf-8")
    for path in found:
        assert f"`{path.name}`" in notice
        with Image.open(path) as image:
            assert image.mode == "RGB"
            assert 450 <= image.width <= 720
    code = "import sys; import restorekit.data.builtin as b; b.photos(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(("task", "low", "high", "mean"), [("raindrop", 14, 27, 20.05), ("rain-streak", 20, 37, 27.02)])
def test_builtin_sets_are_fixed(task, low, high, mean):
    """The mean PSNR is pinned: when it moves, scores are no longer comparable and BUILTIN_VERSION must be raised."""
    scores = []
    for name, degraded, clean, mask in builtin_pairs(task):
        assert degraded.shape == clean.shape == (*mask.shape, 3)
        assert degraded.dtype == clean.dtype == mask.dtype == np.uint8
        difference = degraded.astype(float) - clean
        scores.append(10 * np.log10(255**2 / np.mean(difference**2)))
        if task == "raindrop":
            assert ((np.abs(difference).max(2) > 30) != (mask > 0)).mean() < 0.01, name
    assert len(scores) == 2 * len(photos())
    assert low < min(scores)
    assert max(scores) < high
    assert np.mean(scores) == pytest.approx(mean, abs=0.01)


def test_defocus_softens_the_chosen_images_and_no_others() -> None:
    clean = torch.rand(64, 3, 48, 40, generator=torch.Generator().manual_seed(0))
    key = torch.arange(64)
    soft = defocus(clean, key, 0.5)
    assert soft.shape == clean.shape
    kept = (soft == clean).flatten(1).all(1)
    assert 0.3 < kept.float().mean() < 0.7
    torch.testing.assert_close(soft.mean((1, 2, 3)), clean.mean((1, 2, 3)), atol=0.02, rtol=0)
    rough = (clean.diff(dim=-1).square().mean((1, 2, 3)), soft.diff(dim=-1).square().mean((1, 2, 3)))
    assert float((rough[1] / rough[0])[~kept].median()) < 0.5
    torch.testing.assert_close(defocus(clean[7:9], key[7:9], 0.5), soft[7:9])


def test_defocus_takes_crops_smaller_than_its_kernel() -> None:
    clean = torch.rand(4, 3, 9, 12)
    assert torch.isfinite(defocus(clean, torch.arange(4), 1.0)).all()


def test_a_recipe_trains_on_defocused_clean_images() -> None:
    """The clean image is the defocused one: nothing asks the network to sharpen."""
    clean = (torch.rand(4, 3, 48, 48) * 255).to(torch.uint8)
    batch = Batch(clean, key=torch.arange(4))
    sharp, soft = (
        augment(batch, Data(crop=48, synthesis=Synthesis(task="raindrop", defocus=share))) for share in (0.0, 1.0)
    )
    assert soft.clean is not None
    assert sharp.clean is not None
    assert soft.clean.diff(dim=-1).abs().mean() < 0.8 * sharp.clean.diff(dim=-1).abs().mean()
    dry = soft.mask == 0
    assert float((soft.degraded - soft.clean).abs().amax(1, keepdim=True)[dry].median()) < 0.05
