"""The network of derain, the loss of its mask, and the mixture that it learns from."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from kornia.color import linear_rgb_to_rgb, rgb_to_linear_rgb
from PIL import Image
from restorekit_derain.focus import shallow
from restorekit_derain.generator import Derain, ResidualBlock
from restorekit_derain.head import adapted, filled, unveiled
from restorekit_derain.layers import cut_out, hazed, laid_over, measured, pasted
from restorekit_derain.losses import ChangeMask
from restorekit_derain.sources import cut_window
from restorekit_derain.weather import Weather

from restorekit.errors import DataError, RecipeError, TrainingError, UnknownNameError
from restorekit.interface import Batch, LossInput, Output


def small(**settings):
    return Derain(**{"widths": (8, 12), "blocks": (1, 1), **settings})


def scene(seed=0, height=96, width=120):
    noise = torch.rand(3, height // 8, width // 8, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(noise[None], (height, width), mode="bicubic")[0].clamp(0, 1)


def test_the_full_network_has_the_size_that_is_documented():
    assert sum(p.numel() for p in Derain().parameters()) == 6_445_316
    assert Derain().size_rule.multiple == 16


def test_a_new_block_changes_little_and_a_new_network_less():
    features = torch.randn(1, 32, 16, 16)
    change = ResidualBlock(32)(features) - features
    assert 0.01 < float(change.detach().std()) < 0.5
    image = torch.rand(1, 3, 64, 64)
    assert (Derain()(image).image - image).abs().max() < 0.5


@pytest.mark.parametrize("block", ["residual", "naf"])
def test_where_the_mask_is_zero_the_image_comes_back_bit_for_bit(block):
    network = small(block=block)
    torch.nn.init.normal_(network.tail.weight)
    with torch.no_grad():
        network.tail.bias[12:16] = -1e4
    image = torch.rand(2, 3, 16, 20)
    output = network(image)
    assert torch.equal(output.image, image)
    assert output.extras["mask"].shape == (2, 1, 16, 20)


@pytest.mark.parametrize("hidden", [True, False])
def test_what_is_hidden_is_replaced_and_what_shines_through_is_corrected(hidden):
    network = small()
    torch.nn.init.zeros_(network.tail.weight)
    with torch.no_grad():  # channels after the shuffle: correction 3, mask 1, behind 3, covered 1
        network.tail.bias[:12], network.tail.bias[12:16], network.tail.bias[16:28] = 0.1, 1e4, 0.25
        network.tail.bias[28:32] = 1e4 if hidden else -1e4
        network.tail.bias[32:] = 0  # no veil
    image = torch.rand(1, 3, 16, 20)
    around = filled(image, torch.ones(1, 1, 16, 20), levels=2)
    torch.testing.assert_close(network(image).image, around + 0.25 if hidden else image + 0.1)


def test_in_evaluation_the_mirror_image_is_looked_at_too():
    network, image = Derain(adaptive=False), torch.rand(1, 3, 32, 48)
    torch.nn.init.normal_(network.tail.weight, std=0.1)
    once, there = network(image), network(image.flip(-1))
    seen = network.eval()(image)
    torch.testing.assert_close(seen.image, (once.image + there.image.flip(-1)) / 2)
    torch.testing.assert_close(seen.image, network(image.flip(-1)).image.flip(-1))
    torch.testing.assert_close(seen.extra("mask"), (once.extra("mask") + there.extra("mask").flip(-1)) / 2)
    torch.testing.assert_close(torch.sigmoid(seen.extra("mask_logits")), seen.extra("mask"))
    network.mirrored = False
    assert torch.equal(network(image).image, once.image)


def test_where_little_is_covered_doubtful_places_are_no_drops_and_sure_ones_stay():
    logits = torch.tensor([-2.0, 0.0, 1.0, 4.0]).view(1, 1, 1, 4)
    usual, dry, wet = (adapted(logits, torch.full((1, 1, 1, 1), share)) for share in (0.2, 0.02, 0.5))
    torch.testing.assert_close(usual, logits)
    torch.testing.assert_close(wet, logits + 0.25)
    assert (dry - logits)[..., :2].max() < 0
    assert dry[..., 3] > logits[..., 3]


def test_in_evaluation_the_mask_follows_the_share_of_the_picture_that_it_covers():
    network = small(mirrored=False).eval()
    torch.nn.init.zeros_(network.tail.weight)
    image = torch.rand(2, 3, 16, 20)
    for found, expected in ((-3.0, torch.less), (0.0, torch.greater)):
        with torch.no_grad():
            network.tail.bias[12:16] = found
        logits = network(image).extra("mask_logits")
        torch.testing.assert_close(logits, adapted(torch.full_like(logits, found), torch.sigmoid(torch.tensor(found))))
        assert expected(logits, torch.tensor(found)).all()
        network.adaptive = False
        assert (network(image).extra("mask_logits") == found).all()
        network.adaptive = True
        assert (network.train()(image).extra("mask_logits") == found).all()
        network.eval()


def test_a_veil_is_taken_away_in_linear_light():
    clean = torch.rand(1, 3, 16, 20) * 0.8 + 0.1
    light, density = torch.full((1, 3, 8, 10), 0.1), torch.full((1, 1, 8, 10), 0.5)
    veiled = linear_rgb_to_rgb(rgb_to_linear_rgb(clean) * math.exp(-0.5) + 0.1)
    assert (veiled - clean).abs().mean() > 0.05
    torch.testing.assert_close(unveiled(veiled, light, density), clean, atol=1e-5, rtol=0)
    torch.testing.assert_close(unveiled(clean, 0 * light, 0 * density), clean, atol=1e-6, rtol=0)


def test_what_is_masked_is_filled_from_around_it_and_the_rest_is_kept():
    slope = torch.linspace(0.2, 0.8, 64).expand(1, 3, 64, 64)
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 24:34, 24:34] = 0.9
    spoiled = torch.where(mask > 0, 1.0, slope)
    found = filled(spoiled, mask, levels=4)
    assert torch.equal(found[..., :24], slope[..., :24])
    assert (found - slope).abs().max() < 0.05


def test_a_wholly_masked_image_is_filled_with_its_mean():
    image = torch.rand(1, 3, 16, 16)
    found = filled(image, torch.ones(1, 1, 16, 16), levels=4)
    torch.testing.assert_close(found, image.mean((2, 3), keepdim=True).expand_as(image), atol=2e-3, rtol=0)


def test_the_reach_is_bounded_without_channel_attention():
    network = small(adaptive=False).eval()
    torch.nn.init.normal_(network.tail.weight)
    image = torch.rand(1, 3, 64, 256)
    changed = image.clone()
    changed[..., 200:] = 0.5
    with torch.no_grad():
        same = (network(image).image == network(changed).image).all(1).all(1)[0]
    assert same[:150].all()
    assert not same[199]


@pytest.mark.parametrize(
    "settings", [{"widths": (8,)}, {"blocks": (1, 1, 1)}, {"blocks": (1, 0)}, {"block": "transformer"}]
)
def test_settings_that_no_network_can_have_are_refused(settings):
    with pytest.raises(RecipeError, match=r"generator\."):
        small(**settings)


def test_the_masks_loss_is_a_cross_entropy_of_how_much_was_changed():
    clean = torch.zeros(1, 3, 1, 3)
    degraded = clean.clone()
    degraded[0, 1, 0] = torch.tensor([3.0, 13.0, 23.0]) / 255
    logits = torch.tensor([-2.0, 0.5, 3.0]).view(1, 1, 1, 3)
    seen = LossInput(Batch(degraded, clean), Output(degraded, {"mask_logits": logits}))
    p = torch.sigmoid(logits.flatten())
    expected = -torch.stack([(1 - p[0]).log(), 0.5 * p[1].log() + 0.5 * (1 - p[1]).log(), p[2].log()]).mean()
    torch.testing.assert_close(ChangeMask()(seen), expected)
    with pytest.raises(TrainingError, match="mask_logits"):
        ChangeMask()(LossInput(Batch(degraded, clean), Output(degraded)))
    with pytest.raises(RecipeError, match="low"):
        ChangeMask(low=5, high=5)


def spotted(clean):
    degraded = clean.clone()
    degraded[:, 30:60, 40:70] = 0.3 * clean[:, 30:60, 40:70] + 0.5
    return degraded


def test_measured_drops_give_the_pair_back_and_keep_their_transparency():
    clean = scene()
    layer = measured(spotted(clean), clean)
    inside = layer.through[0, 38:52, 48:62]
    assert abs(float(inside.mean()) - 0.3) < 0.1
    assert layer.through[0, :15, :25].min() == 1
    torch.testing.assert_close((layer.through * clean + layer.added)[:, 38:52, 48:62], spotted(clean)[:, 38:52, 48:62])


def test_measured_drops_lie_over_another_scene_as_they_would_in_front_of_it():
    clean, other = scene(), scene(1)
    over = laid_over(other, measured(spotted(clean), clean), strength=1.0, adapting=0.0)
    truth = spotted(other)
    assert (over - truth)[:, 38:52, 48:62].abs().mean() < 0.05
    assert torch.equal(over[:, :15, :25], other[:, :15, :25])


def test_a_tint_colours_the_light_of_the_drops_and_nothing_else():
    clean = scene()
    layer = measured(spotted(clean), clean)
    plain, red = (laid_over(clean, layer, 1.0, 0.0, tint) for tint in ((1.0, 1.0, 1.0), (0.5, 1.0, 1.0)))
    torch.testing.assert_close((plain - red)[0], 0.5 * layer.added[0])
    assert torch.equal(plain[1:], red[1:])


@pytest.fixture
def pairs(tmp_path) -> Path:
    for index in range(2):
        clean = scene(index)
        for folder, image in (("data", spotted(clean)), ("gt", clean)):
            path = tmp_path / "pairs" / folder / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((image * 255).byte().permute(1, 2, 0).numpy()).save(path)
    return tmp_path / "pairs"


KINDS = ("pair", "layer", "drops", "streaks", "both", "clean")


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_sample_is_what_it_says(pairs, kind):
    shares = dict.fromkeys(KINDS, 0.0) | {kind: 1.0}
    weather = Weather(pairs=str(pairs), **shares, tone=0.0, blur=0.0, shallow=0.0)
    photos, keys = torch.stack([scene(seed, 48, 48) for seed in range(6)]), torch.arange(6)
    clean = weather.scenes(photos, keys)
    degraded, mask = weather(clean, keys)
    assert mask is None
    assert degraded.shape == clean.shape == photos.shape
    assert degraded.min() >= 0
    assert degraded.max() <= 1
    assert torch.equal(degraded, clean) == (kind == "clean")
    assert torch.equal(clean, photos) == (kind != "pair")


def test_windows_of_measured_drops_are_sought_where_there_are_drops():
    through = torch.ones(1, 192, 256)
    through[:, 90:130, 40:80] = 0.2
    like = torch.ones(3, 48, 48)

    def light(**settings):
        draws = (np.random.default_rng(seed) for seed in range(100))
        return torch.stack([cut_window((through,), like, draw, 0.5, 1.7, **settings)[0].mean() for draw in draws])

    anywhere, sought = light(), light(least=through)
    assert (sought <= anywhere + 1e-6).all()
    assert (sought < 0.95).float().mean() > 1.5 * (anywhere < 0.95).float().mean()


def test_a_sample_depends_on_its_key_alone(pairs):
    weather = Weather(pairs=str(pairs))
    photos = torch.stack([scene(seed, 48, 48) for seed in range(4)])
    keys = torch.tensor([5, 6, 7, 8])
    together = weather(photos, keys)[0]
    alone = weather(photos[2:3], keys[2:3])[0]
    assert torch.equal(together[2:3], alone)
    assert not torch.equal(together, weather(photos, keys + 10)[0])
    assert torch.equal(weather.scenes(photos, keys)[2:3], weather.scenes(photos[2:3], keys[2:3]))


def test_a_real_pair_is_its_own_even_where_only_its_drops_fit(pairs):
    weather = Weather(pairs=str(pairs), layer=0, drops=0, streaks=0, both=0, clean=0)
    photos, keys = scene(3, 48, 48)[None], torch.tensor([4])
    own = weather.scenes(photos, keys)
    degraded = weather(own, keys)[0]
    assert 0.001 < (degraded - own).abs().mean() < 0.3
    elsewhere = weather(photos, keys)[0]  # as `data synthesize` does, which has no clean side of its own
    assert elsewhere.shape == photos.shape
    assert not torch.equal(elsewhere, degraded)


def test_pseudo_pairs_lend_their_drops_and_are_never_a_target(pairs):
    only = {"drops": 0, "streaks": 0, "both": 0, "clean": 0, "tone": 0, "blur": 0, "shallow": 0}
    photos, keys = torch.stack([scene(seed, 48, 48) for seed in range(6)]), torch.arange(6)
    pseudo = Weather(pseudo_pairs=str(pairs), pair=0, **only)
    assert torch.equal(pseudo.scenes(photos, keys), photos)
    assert torch.equal(pseudo(photos, keys)[0], Weather(pairs=str(pairs), pair=0, **only)(photos, keys)[0])
    both = Weather(pairs=str(pairs), pseudo_pairs=f"{pairs}:{pairs}", layer=0, **only)
    assert (len(both.pairs), len(both.layers)) == (2, 6)
    assert torch.equal(both.scenes(photos, keys), Weather(pairs=str(pairs), layer=0, **only).scenes(photos, keys))
    assert Weather(pseudo_pairs=str(pairs)).shares[:2].tolist() == [0, pytest.approx(0.27)]


def test_tone_and_blur_change_the_scenes_of_training(pairs):
    photos, keys = scene(0, 48, 48)[None].repeat(12, 1, 1, 1), torch.arange(12)
    plain, softer = (Weather(tone=0.0, blur=blur, shallow=0.0).scenes(photos, keys) for blur in (0.0, 1.0))
    assert torch.equal(plain, photos)
    assert (softer.diff(dim=-1).abs().mean((1, 2, 3)) < photos.diff(dim=-1).abs().mean((1, 2, 3))).all()
    toned = Weather(tone=1.0, blur=0.0, shallow=0.0).scenes(photos, keys)
    assert (toned != photos).flatten(1).any(1).all()
    assert toned.min() >= 0
    assert toned.max() <= 1


def test_clean_photographs_and_few_others_have_a_background_out_of_focus():
    photos, keys = scene(0, 48, 48)[None].repeat(60, 1, 1, 1), torch.arange(60)
    only = {"pair": 0, "layer": 0, "drops": 0, "streaks": 0, "both": 0, "clean": 0, "tone": 0, "blur": 0}
    changed = [
        int((Weather(**{**only, kind: 1}, shallow=1.0).scenes(photos, keys) != photos).flatten(1).any(1).sum())
        for kind in ("clean", "drops")
    ]
    assert changed[0] == 60
    assert 1 <= changed[1] <= 25


@pytest.mark.parametrize("side", [8, 48])
def test_a_shallow_depth_of_field_softens_a_part_or_all_and_keeps_the_light(side):
    photo, parts = torch.rand(3, side, side + 4), []
    for seed in range(20):
        soft = shallow(photo, np.random.default_rng(seed))
        assert soft.shape == photo.shape
        assert 0 <= float(soft.min()) <= float(soft.max()) <= 1
        light = rgb_to_linear_rgb(torch.stack((photo, soft))).mean((1, 2, 3))
        assert float(light[1] / light[0]) == pytest.approx(1, abs=0.1)
        parts.append(float((soft - photo).abs().amax(0).lt(0.02).float().mean()))
    assert min(parts) < 0.2
    assert side < 48 or max(parts) > 0.3
    assert torch.equal(shallow(photo, np.random.default_rng(1)), shallow(photo, np.random.default_rng(1)))


def test_without_pairs_their_shares_go_to_synthetic_drops():
    weather = Weather()
    assert dict(zip(KINDS, weather.shares, strict=True))["drops"] == pytest.approx(0.59)
    assert weather.shares[:2].sum() == 0


def photographs_with_masks(folder: Path, masks: bool = True) -> Path:
    clean = torch.full((3, 64, 64), 0.2)
    degraded, mask = clean.clone(), torch.zeros(3, 64, 64)
    degraded[:, 20:40, 20:40], mask[:, 20:40, 20:40] = 0.6, 1.0
    for name, image in (("data", degraded), ("gt", clean), *([("mask", mask)] if masks else [])):
        (folder / name).mkdir(parents=True)
        Image.fromarray((image * 255).byte().permute(1, 2, 0).numpy()).save(folder / name / "0.png")
    return folder


def test_a_drop_is_cut_out_and_stands_out_elsewhere_as_it_did():
    photo, mask = torch.full((3, 64, 64), 0.2), torch.zeros(1, 64, 64)
    photo[:, 20:40, 20:40], mask[:, 20:40, 20:40] = 0.6, 1.0
    photo[:, 18:42, 18:20] = 0.2  # the mask's rim holds some of the old scene
    drops = cut_out(photo, torch.full((3, 64, 64), 0.2), mask)
    assert drops.contrast[:, 30, 30].tolist() == pytest.approx([0.4] * 3, abs=1e-5)
    elsewhere = torch.full((3, 64, 64), 0.5)
    shown = pasted(elsewhere, drops, 1.0)
    assert shown[:, 30, 30].tolist() == pytest.approx([0.9] * 3, abs=1e-3)
    assert torch.equal(shown[:, :10], elsewhere[:, :10])
    assert (shown[:, 18:42, 18] - 0.5).abs().max() < 1e-5  # nothing of the old scene is seen
    faint = pasted(elsewhere, drops, 0.5, (1.0, 0.0, 1.0))
    assert faint[:, 30, 30].tolist() == pytest.approx([0.7, 0.5, 0.7], abs=1e-3)


def test_cut_out_drops_are_half_of_the_layers_or_all(tmp_path, pairs):
    cutouts = photographs_with_masks(tmp_path / "cutouts")
    alone = Weather(
        cutouts=str(cutouts), pair=0, drops=0, streaks=0, both=0, clean=0, tone=0, blur=0, shallow=0, haze=0
    )
    photos, keys = torch.full((24, 3, 48, 48), 0.5), torch.arange(24)
    degraded = alone(photos, keys)[0]
    assert (degraded >= photos - 1e-6).all()
    assert ((degraded - photos).flatten(1).amax(1) > 0.2).float().mean() > 0.5


def test_a_wet_pane_takes_contrast_from_the_whole_scene():
    photo = scene(0, 48, 48)
    hazy = hazed(photo, 0.1, 0.5)
    torch.testing.assert_close(hazy, 0.9 * photo + 0.05 * photo.mean((1, 2), keepdim=True))
    few = {"pair": 0, "layer": 0, "streaks": 0, "both": 0, "clean": 0}
    keys = torch.arange(8)
    clear, pane = (Weather(**few, haze=haze)(photo.repeat(8, 1, 1, 1), keys)[0] for haze in (0.0, 1.0))
    changed = (clear - photo).abs().amax(1) > 1e-6  # by the drops
    assert ((pane - photo).abs().amax(1) > 1e-6).float().mean() > changed.float().mean()


def test_with_pairs_too_half_of_the_layers_are_cut_out(tmp_path, pairs, monkeypatch):
    cutouts = photographs_with_masks(tmp_path / "cutouts")
    weather = Weather(cutouts=str(cutouts), pairs=str(pairs), pair=0, drops=0, streaks=0, both=0, clean=0)
    taken = []
    for way in ("_with_cut_drops", "_with_measured_drops"):
        monkeypatch.setattr(weather, way, lambda clean, draw, way=way: taken.append(way) or clean)
    weather(torch.zeros(200, 3, 8, 8), torch.arange(200))
    assert 200 < len(taken) < 300  # one layer, or two
    assert 0.4 < taken.count("_with_cut_drops") / len(taken) < 0.6


def test_the_preset_of_the_synthetic_drops_can_be_chosen():
    only = {"pair": 0, "layer": 0, "streaks": 0, "both": 0, "clean": 0, "haze": 0, "tone": 0, "blur": 0, "shallow": 0}
    photos, keys = scene(1, 96, 96)[None].repeat(6, 1, 1, 1), torch.arange(6)
    changed = {
        preset: ((Weather(**only, drops_preset=preset)(photos, keys)[0] - photos).abs().amax(1) > 0.02).float().mean()
        for preset in ("sharp", "soft")
    }
    assert changed["soft"] > 2 * changed["sharp"] > 0


def test_photographs_to_cut_from_need_masks(tmp_path):
    with pytest.raises(DataError, match=r"the mask of '0'.*mask/"):
        Weather(cutouts=str(photographs_with_masks(tmp_path / "cutouts", masks=False)))


def test_shares_and_folders_that_cannot_be_are_refused(tmp_path):
    with pytest.raises(RecipeError, match="shares"):
        Weather(streaks=-1.0)
    with pytest.raises(RecipeError, match=r"haze is 1\.5.*from 0 to 1"):
        Weather(haze=1.5)
    with pytest.raises(UnknownNameError, match=r"soft, sharp"):
        Weather(drops_preset="shrap")
    with pytest.raises(DataError):
        Weather(pairs=str(tmp_path / "absent"))
