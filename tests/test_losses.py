"""Losses against closed forms, brute force and independent libraries."""

import copy
import math

import numpy as np
import pytest
import scipy.signal
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from restorekit.backbones import pretrained as backbones
from restorekit.backbones.vgg import RELU_POSITIONS, VGG16Features
from restorekit.errors import RecipeError, TrainingError, WeightsError
from restorekit.interface import Batch, Judgement, LossInput, Output
from restorekit.keyed import uniform
from restorekit.losses.accuracy import accuracy
from restorekit.losses.adversarial import Adversarial, Critic
from restorekit.losses.contrastive import Contrastive
from restorekit.losses.learned import LPIPSLoss
from restorekit.losses.perceptual import Perceptual
from restorekit.losses.pixel import L1, MSE, Charbonnier, MaskedL1, PSNRLoss, References
from restorekit.losses.structure import Edge, SSIMLoss


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny tensors: threads only get in each other's way."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


PAIRED = {
    "l1": L1,
    "mse": MSE,
    "charbonnier": Charbonnier,
    "psnr": PSNRLoss,
    "masked-l1": MaskedL1,
    "references": References,
    "references-mean": lambda: References(mean=True),
    "ssim": SSIMLoss,
    "edge": Edge,
    "edge-signed": lambda: Edge(signed=True),
    "contrastive": Contrastive,
    "contrastive-ratio": lambda: Contrastive(form="ratio"),
}
AT_CLEAN = {"charbonnier": 1e-3}  # what the others score when output = clean (references equal clean too) is 0


def images(*shape, seed=0, dtype=torch.float32):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def seen_of(image, clean, degraded=None, references=None):
    batch = Batch(
        degraded=images(*clean.shape, seed=9, dtype=clean.dtype) if degraded is None else degraded,
        clean=clean,
        mask=(clean.mean(1, keepdim=True) > 0.5).to(clean.dtype),
        references=torch.stack((clean, clean), 1) if references is None else references,
    )
    return LossInput(batch, Output(image))


def test_pixel_losses_are_their_formulas():
    a, b = images(2, 3, 5, 7, seed=1), images(2, 3, 5, 7, seed=2)
    d = (a - b).double().numpy()
    seen = seen_of(a, b)
    assert L1()(seen).item() == pytest.approx(np.abs(d).mean(), rel=1e-6)
    assert MSE()(seen).item() == pytest.approx((d**2).mean(), rel=1e-6)
    assert Charbonnier(eps=0.1)(seen).item() == pytest.approx(np.sqrt(d**2 + 0.01).mean(), rel=1e-6)
    weights = np.where(b.mean(1, keepdim=True).numpy() > 0.5, 3.0, 0.5)
    assert MaskedL1(inside=3, outside=0.5)(seen).item() == pytest.approx((weights * np.abs(d)).mean(), rel=1e-6)


def test_psnr_loss_is_the_mean_distance_to_its_ceiling():
    """Far below the ceiling it is ceiling - PSNR, image by image, which scikit-image computes here."""
    clean, noise = images(2, 3, 16, 16, seed=1), images(2, 3, 16, 16, seed=2) - 0.5
    image = clean + noise * torch.tensor([0.02, 0.5]).view(2, 1, 1, 1)
    psnr = [
        peak_signal_noise_ratio(c.double().numpy(), i.double().numpy(), data_range=1)
        for c, i in zip(clean, image, strict=True)
    ]
    assert PSNRLoss(ceiling=90)(seen_of(image, clean)).item() == pytest.approx(90 - np.mean(psnr), abs=1e-4)


def test_psnr_loss_weighs_images_by_the_share_of_their_error():
    clean, noise = images(2, 3, 16, 16, seed=1), images(1, 3, 16, 16, seed=2) - 0.5
    image = (clean + noise * torch.tensor([0.1, 0.5]).view(2, 1, 1, 1)).requires_grad_()
    slight, strong = torch.autograd.grad(PSNRLoss(ceiling=90)(seen_of(image, clean)), image)[0].flatten(1).norm(dim=1)
    assert slight / strong == pytest.approx(5, rel=1e-3)  # MSE: 1/5


def test_psnr_loss_refuses_a_ceiling_of_no_decibel():
    with pytest.raises(RecipeError, match="ceiling is 0 dB; it must be above 0"):
        PSNRLoss(ceiling=0)


def test_references_with_and_without_mean_have_the_same_gradient():
    references, clean = images(2, 5, 3, 6, 6, seed=3), images(2, 3, 6, 6, seed=4)
    gradients, values = [], []
    for mean in (False, True):
        image = images(2, 3, 6, 6, seed=5).requires_grad_()
        value = References(mean=mean)(seen_of(image, clean, references=references))
        gradients.append(torch.autograd.grad(value, image)[0])
        values.append(value.item())
    assert torch.allclose(*gradients, atol=1e-8)
    assert values[0] - values[1] == pytest.approx(references.var(1, unbiased=False).mean().item(), rel=1e-5)
    brute = np.mean([((image - references[:, k]) ** 2).mean().item() for k in range(5)])
    assert values[0] == pytest.approx(brute, rel=1e-5)


def test_ssim_loss_agrees_with_scikit_image():
    a, b = images(1, 3, 24, 31, seed=1), images(1, 3, 24, 31, seed=2)
    _, full = structural_similarity(
        a[0].double().numpy(),
        b[0].double().numpy(),
        channel_axis=0,
        data_range=1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    assert SSIMLoss()(seen_of(a, b)).item() == pytest.approx(1 - full[:, 5:-5, 5:-5].mean(), abs=1e-5)


def test_ssim_of_one_pixel_is_its_luminance_term():
    a, b = torch.full((1, 3, 1, 1), 0.2), torch.full((1, 3, 1, 1), 0.6)
    expected = 1 - (2 * 0.12 + 1e-4) / (0.04 + 0.36 + 1e-4)
    assert SSIMLoss()(seen_of(a, b)).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("signed", [False, True])
def test_edge_agrees_with_scipy(signed):
    a, b = images(1, 3, 9, 12, seed=1), images(1, 3, 9, 12, seed=2)
    kernel = -np.ones((3, 3))
    kernel[1, 1] = 8

    def edges(image):
        grey = np.tensordot([0.299, 0.587, 0.114], image[0].double().numpy(), 1)
        response = scipy.signal.convolve2d(np.pad(grey, 1, mode="edge"), kernel, mode="valid")
        return response if signed else np.maximum(response, 0)

    expected = ((edges(a) - edges(b)) ** 2).mean()
    assert Edge(signed=signed)(seen_of(a, b)).item() == pytest.approx(expected, rel=1e-5)


def test_edge_ignores_brightness_and_sees_a_single_spot():
    clean = torch.full((1, 3, 7, 7), 0.4)
    assert Edge()(seen_of(clean + 0.2, clean)).item() == pytest.approx(0, abs=1e-10)
    spot = clean.clone()
    spot[:, :, 3, 3] += 0.1
    assert Edge()(seen_of(spot, clean)).item() == pytest.approx(0.8**2 / 49, rel=1e-4)
    assert Edge(signed=True)(seen_of(spot, clean)).item() == pytest.approx((0.8**2 + 8 * 0.1**2) / 49, rel=1e-4)


@pytest.mark.parametrize("name", PAIRED)
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (16, 13)])
def test_losses_at_every_size(name, size):
    """Least at the clean image, larger when farther from it, finite on bfloat16 values, the same twice."""
    loss = PAIRED[name]()
    clean, noise = images(2, 3, *size, seed=1), images(2, 3, *size, seed=2) - 0.5
    best, near, far = (loss(seen_of(clean + t * noise, clean)) for t in (0.0, 0.1, 0.4))
    assert best.item() == pytest.approx(AT_CLEAN.get(name, 0), abs=1e-5)
    if not (name.startswith("edge") and size == (1, 1)):  # one pixel has no edges
        assert best < near < far
    assert far.shape == ()
    assert far.dtype == torch.float32
    rounded = (clean + noise).bfloat16().float()
    assert torch.isfinite(loss(seen_of(rounded, clean)))
    assert torch.equal(far, loss(seen_of(clean + 0.4 * noise, clean)))


@pytest.mark.parametrize("name", PAIRED)
def test_gradients_agree_with_finite_differences(name):
    loss = PAIRED[name]().double()
    clean = images(1, 3, 3, 4, seed=1, dtype=torch.float64)
    image = images(1, 3, 3, 4, seed=2, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(seen_of(x, clean)), (image,))


@pytest.mark.parametrize("name", PAIRED)
def test_the_mean_over_micro_batches_is_the_loss_of_the_batch(name):
    loss = PAIRED[name]()
    clean, image, degraded = (images(4, 3, 12, 12, seed=s, dtype=torch.float64) for s in (1, 2, 3))
    whole = loss(seen_of(image, clean, degraded))
    halves = [loss(seen_of(image[s], clean[s], degraded[s])) for s in (slice(0, 2), slice(2, 4))]
    assert whole.item() == pytest.approx(sum(halves).item() / 2, rel=1e-9)


def test_contrastive_is_zero_at_clean_one_at_degraded_and_pulls_between():
    clean = images(2, 3, 32, 32, seed=1)
    degraded = clean.clone()
    degraded[:, :, 10:18, 10:18] = 0.98  # a white spot
    loss = Contrastive()
    assert loss(seen_of(clean, clean, degraded)).item() == pytest.approx(0, abs=1e-4)
    assert loss(seen_of(degraded, clean, degraded)).item() == pytest.approx(1, abs=1e-3)
    assert loss(seen_of(clean, clean, clean)).item() == pytest.approx(0, abs=1e-6)
    image = (0.5 * clean + 0.5 * degraded).requires_grad_()
    half = loss(seen_of(image, clean, degraded))
    assert half.item() == pytest.approx(0.5, abs=1e-3)  # midway, both distances are equal
    assert Contrastive(form="ratio")(seen_of(image, clean, degraded)).item() == pytest.approx(1, abs=1e-3)
    half.backward()
    towards_clean = (image.grad * (degraded - clean)).sum()
    assert towards_clean > 0  # descending takes the spot away


def test_contrastive_gradient_is_bounded_where_the_generator_is_the_identity():
    clean, degraded = images(1, 3, 16, 16, seed=1), images(1, 3, 16, 16, seed=2)
    norms = []
    for form in ("bounded", "ratio"):
        image = degraded.clone().add(1e-6).requires_grad_()
        Contrastive(form=form)(seen_of(image, clean, degraded)).backward()
        norms.append(image.grad.norm().item())
    assert norms[0] < 10
    assert norms[1] > 1e3 * norms[0]


def test_what_is_missing_is_named():
    empty = LossInput(Batch(images(1, 3, 4, 4)), Output(images(1, 3, 4, 4)))
    for loss in (L1(), MSE(), Charbonnier(), SSIMLoss(), Edge(), Contrastive()):
        with pytest.raises(TrainingError, match="needs clean images"):
            loss(empty)
    with pytest.raises(TrainingError, match="mask-from-pair"):
        MaskedL1()(empty)
    with pytest.raises(TrainingError, match="gives 'references'"):
        References()(empty)
    with pytest.raises(TrainingError, match="discriminator"):
        Adversarial()(empty)
    with pytest.raises(TrainingError, match="critic_losses"):
        Critic()(empty)


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: Charbonnier(eps=0), "above 0"),
        (lambda: SSIMLoss(window=4), "odd"),
        (lambda: MaskedL1(inside=-1), "negative"),
        (lambda: Contrastive(levels=0), "at least 1"),
        (lambda: Contrastive(features="vgg19"), "'pyramid' or 'vgg'"),
        (lambda: Adversarial(mode="lsgn"), "Did you mean 'lsgan'"),
        (lambda: Adversarial(mode="hinge", label=0.9), "hinge"),
        (lambda: Critic(mode="wgan"), "bce, lsgan, hinge"),
        (lambda: Critic(real=0.1, fake=0.9), "real must be"),
        (lambda: Critic(mode="hinge", real=0.9), "no soft labels"),
        (lambda: Critic(flip=0.7), "flip"),
        (lambda: Perceptual(layers=("relu2_5",)), "Did you mean 'relu2_"),
        (lambda: Perceptual(layers=()), "empty"),
    ],
)
def test_settings_that_cannot_be_are_refused(build, sentence):
    with pytest.raises(RecipeError, match=sentence):
        build()


# Adversarial


def judged(fake, real=None, keys=None):
    image = images(len(fake), 3, 2, 2)
    return LossInput(
        Batch(image, clean=image, key=keys),
        Output(image),
        fake=Judgement(fake),
        real=None if real is None else Judgement(real),
    )


def bce(logit, label):
    p = 1 / (1 + math.exp(-logit))
    return -label * math.log(p) - (1 - label) * math.log(1 - p)


def test_adversarial_losses_are_their_formulas():
    logits = torch.tensor([[-1.5, 0.3], [2.0, 0.0]])
    values = logits.flatten().tolist()
    seen = judged(logits)
    assert Adversarial()(seen).item() == pytest.approx(np.mean([bce(v, 1) for v in values]), rel=1e-6)
    assert Adversarial("lsgan")(seen).item() == pytest.approx(np.mean([(v - 1) ** 2 for v in values]), rel=1e-6)
    assert Adversarial("hinge")(seen).item() == pytest.approx(-np.mean(values), rel=1e-6)
    soft = np.mean([bce(v, 0.9) for v in values])
    assert Adversarial(label=0.9)(seen).item() == pytest.approx(soft, rel=1e-6)


def test_critic_losses_are_their_formulas():
    fake, real = torch.tensor([[-1.5], [0.4]]), torch.tensor([[2.5], [-0.2]])
    seen = judged(fake, real)
    f, r = fake.flatten().tolist(), real.flatten().tolist()
    for mode, formula in {
        "bce": lambda: np.mean([bce(v, 0.9) for v in r]) + np.mean([bce(v, 0.1) for v in f]),
        "lsgan": lambda: np.mean([(v - 0.9) ** 2 for v in r]) + np.mean([(v - 0.1) ** 2 for v in f]),
    }.items():
        assert Critic(mode, real=0.9, fake=0.1)(seen).item() == pytest.approx(formula(), rel=1e-6)
    hinge = np.mean([max(0, 1 - v) for v in r]) + np.mean([max(0, 1 + v) for v in f])
    assert Critic("hinge")(seen).item() == pytest.approx(hinge, rel=1e-6)
    hard = np.mean([bce(v, 1) for v in r]) + np.mean([bce(v, 0) for v in f])
    assert Critic()(seen).item() == pytest.approx(hard, rel=1e-6)


@pytest.mark.parametrize("mode", ["bce", "lsgan", "hinge"])
@pytest.mark.parametrize("shape", [(3, 1), (3, 1, 5, 7)])
def test_adversarial_gradients(mode, shape):
    fake, real = (torch.randn(shape, generator=torch.Generator().manual_seed(s)).double() for s in (1, 2))
    fake.requires_grad_()
    real.requires_grad_()
    assert torch.autograd.gradcheck(lambda f: Adversarial(mode)(judged(f)), (fake,))
    assert torch.autograd.gradcheck(lambda f, r: Critic(mode)(judged(f, r)), (fake, real))
    (gradient,) = torch.autograd.grad(Adversarial(mode)(judged(fake)), fake)
    wants_real = gradient.sum() < 0 if mode != "lsgan" else ((fake - 1) * gradient >= 0).all()
    assert wants_real


def test_large_logits_stay_finite():
    huge = torch.tensor([[300.0], [-300.0]])
    for mode in ("bce", "lsgan", "hinge"):
        assert torch.isfinite(Adversarial(mode)(judged(huge)))
        assert torch.isfinite(Critic(mode)(judged(huge, -huge)))


@pytest.mark.parametrize("mode", ["bce", "lsgan", "hinge"])
def test_noisy_labels_swap_whole_samples_by_their_key(mode):
    keys = torch.arange(200)
    fake, real = (torch.randn(200, 2, 2, generator=torch.Generator().manual_seed(s)) for s in (1, 2))
    noisy = Critic(mode, flip=0.1)
    seen = judged(fake, real, keys)
    flipped_fake = uniform(keys, "critic.flip.fake") < 0.1
    flipped_real = uniform(keys, "critic.flip.real") < 0.1
    assert 8 < flipped_fake.sum() < 35
    assert not torch.equal(flipped_fake, flipped_real)
    expected = 0.0
    for i in range(200):
        one_real, one_fake = real[i : i + 1], fake[i : i + 1]
        terms = {
            "bce": lambda v, y: torch.log1p(torch.exp(-v if y else v)).mean().item(),
            "lsgan": lambda v, y: (v - y).square().mean().item(),
            "hinge": lambda v, y: (1 - (v if y else -v)).clamp(min=0).mean().item(),
        }[mode]
        expected += terms(one_real, 0 if flipped_real[i] else 1) + terms(one_fake, 1 if flipped_fake[i] else 0)
    assert noisy(seen).item() == pytest.approx(expected / 200, rel=1e-5)
    halves = [noisy(judged(fake[s], real[s], keys[s])).item() for s in (slice(0, 100), slice(100, 200))]
    assert noisy(seen).item() == pytest.approx(sum(halves) / 2, rel=1e-5)
    with pytest.raises(TrainingError, match=r"batch\.key"):
        noisy(judged(fake, real))


def test_accuracy():
    judgement = Judgement(torch.tensor([[0.2, -0.1], [3.0, 0.0]]))
    assert accuracy(judgement, real=True).item() == 0.5
    assert accuracy(judgement, real=False).item() == 0.5
    assert accuracy(judgement, real=True, threshold=0.1).item() == 0.5
    assert accuracy(Judgement(torch.tensor([0.3, 0.7, 1.2])), real=True, threshold=Critic("lsgan").threshold) == (
        pytest.approx(2 / 3)
    )
    assert Critic("bce").threshold == Critic("hinge").threshold == 0


# Random numbers


def murmur(value):
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        value = ((value ^ (value >> shift)) * factor) % 2**32
    return value ^ (value >> 16)


def test_uniform_is_the_hash_it_says_and_keeps_its_values():
    keys = [0, 1, 2, 12345, 2**31 - 1]
    expected = [(murmur(murmur(k) ^ murmur((7 + 0x9E3779B9) % 2**32)) >> 8) / 2**24 for k in keys]
    assert uniform(torch.tensor(keys), 7).tolist() == expected
    assert uniform(torch.tensor(keys, dtype=torch.int32), 7).tolist() == expected


def test_uniform_is_uniform_and_streams_are_independent():
    keys = torch.arange(100_000)
    first, second = uniform(keys, "a").double(), uniform(keys, "b").double()
    assert first.min() >= 0
    assert first.max() < 1
    counts = torch.histc(first, 20, 0, 1)
    assert ((counts - 5000).square() / 5000).sum() < 50  # chi-square, 19 degrees, p about 1e-4
    assert abs(torch.corrcoef(torch.stack((first, second)))[0, 1]) < 0.02
    assert abs(torch.corrcoef(torch.stack((first[1:], first[:-1])))[0, 1]) < 0.02
    assert torch.equal(uniform(keys[5:9], "a").double(), first[5:9])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_uniform_is_the_same_on_the_gpu():
    keys = torch.randint(2**31, (10_000,))
    assert torch.equal(uniform(keys.cuda(), "x").cpu(), uniform(keys, "x"))


# Pretrained networks; random weights in torchvision's layout stand in for the real ones


@pytest.fixture(scope="module")
def vgg_file(tmp_path_factory):
    from torchvision.models.vgg import cfgs, make_layers

    torch.manual_seed(0)
    state = {f"features.{k}": v for k, v in make_layers(cfgs["D"]).state_dict().items()}
    path = tmp_path_factory.mktemp("weights") / "vgg16.pth"
    torch.save({**state, "classifier.0.weight": torch.zeros(1)}, path)
    return str(path)


def test_layer_names_are_where_torchvision_has_them(vgg_file):
    """Brute force: count convolutions and pools in torchvision's own sequence."""
    from torchvision.models.vgg import cfgs, make_layers

    block, layer, found = 1, 0, {}
    for position, module in enumerate(make_layers(cfgs["D"])):
        kind = type(module).__name__
        layer += kind == "Conv2d"
        if kind == "ReLU":
            found[f"relu{block}_{layer}"] = position
        if kind == "MaxPool2d":
            block, layer = block + 1, 0
    assert found == RELU_POSITIONS


def test_perceptual_is_the_mse_of_normalised_vgg_activations(vgg_file):
    from torchvision.models.vgg import cfgs, make_layers

    trunk = make_layers(cfgs["D"])
    state = torch.load(vgg_file, weights_only=True)
    trunk.load_state_dict({k[9:]: v for k, v in state.items() if k.startswith("features.")})
    a, b = images(2, 3, 12, 17, seed=1), images(2, 3, 12, 17, seed=2)

    def activation(image, last):
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        return trunk[: last + 1]((image - mean) / std)

    expected = np.mean([(activation(a, i) - activation(b, i)).square().mean().item() for i in (1, 3, 6, 8)])
    loss = Perceptual(weights=vgg_file)
    assert loss(seen_of(a, b)).item() == pytest.approx(expected, rel=1e-4)
    assert loss(seen_of(b, b)).item() == 0
    deep = Perceptual(layers=["relu5_3", "relu1_1"], weights=vgg_file)
    assert torch.isfinite(deep(seen_of(a[..., :1, :1], b[..., :1, :1])))


@pytest.mark.parametrize("build", [Perceptual, lambda weights: Contrastive("vgg", weights=weights)])
def test_the_vgg_is_frozen_hidden_and_follows(build, vgg_file):
    before = torch.get_rng_state()
    loss = build(weights=vgg_file)
    assert torch.equal(torch.get_rng_state(), before)  # the generator's start must not depend on the losses
    loss.train()
    assert not loss.network.training
    assert not list(loss.parameters())
    assert not loss.state_dict()
    assert not any(p.requires_grad for p in loss.network.parameters())
    image = images(1, 3, 16, 16, dtype=torch.float64).requires_grad_()
    clean = images(1, 3, 16, 16, seed=1, dtype=torch.float64)
    copy.deepcopy(loss).double()(seen_of(image, clean)).backward()
    assert image.grad.abs().sum() > 0
    assert loss.network.mean.dtype == torch.float32


def test_perceptual_gradient_agrees_with_finite_differences(vgg_file):
    loss = Perceptual(layers=("relu1_2",), weights=vgg_file).double()
    clean = images(1, 3, 3, 4, seed=1, dtype=torch.float64)
    image = images(1, 3, 3, 4, seed=2, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(seen_of(x, clean)), (image,))


def test_lpips_loss_is_least_at_the_clean_image_and_has_a_gradient(tmp_path):
    import torchvision

    torch.manual_seed(0)
    state = torchvision.models.alexnet(num_classes=1).features.state_dict()
    torch.save({f"features.{k}": v for k, v in state.items()}, tmp_path / "alex.pth")
    loss = LPIPSLoss(net="alex", weights=str(tmp_path / "alex.pth"))
    clean = images(2, 3, 40, 33, seed=1)
    image = images(2, 3, 40, 33, seed=2).requires_grad_()
    value = loss(seen_of(image, clean))
    value.backward()
    assert value > loss(seen_of(clean, clean)).item() == 0
    assert image.grad.abs().sum() > 0
    assert not list(loss.parameters())


@pytest.mark.parametrize(
    "build", [Perceptual, LPIPSLoss, lambda: Contrastive("vgg"), lambda: VGG16Features(["relu1_1"])]
)
def test_no_network_is_a_clear_error_and_never_random_weights(build, monkeypatch):
    def offline(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(backbones.torchvision.models.VGG16_Weights, "get_state_dict", offline)
    with pytest.raises(WeightsError, match=r"weights add \w+ FILE") as caught:
        build()
    assert "vgg16-" in str(caught.value)
