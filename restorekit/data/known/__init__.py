"""The cards of the published deraining and raindrop data sets.

Counts, file naming and homes are as their papers and releases state them. A degraded-input score is given
only where it is known for the full split.
"""

from __future__ import annotations

from types import MappingProxyType

from restorekit.data.cards import TEST_WORDS, TRAIN_WORDS, DatasetCard, Split


def _splits(**splits: Split) -> MappingProxyType[str, Split]:
    return MappingProxyType({name.replace("_", "-"): split for name, split in splits.items()})


raindrop = DatasetCard(
    name="raindrop",
    title="Raindrop (Qian 2018): drops on glass, photographed with and without drops",
    task="raindrop",
    splits=_splits(
        train=Split((861,), TRAIN_WORDS, first=0),
        test_a=Split((58,), ("testa", *TEST_WORDS), first=0),
        test_b=Split((239, 249), ("testb",)),
    ),
    benchmark_split="test-a",
    homepage="project page of DeRaindrop, the authors' repository rui1996/DeRaindrop",
    paper="Qian et al., Attentive Generative Adversarial Network for Raindrop Removal from a Single Image,"
    " CVPR 2018, arXiv:1711.10098",
    layouts=("{train,test_a,test_b}/data/0_rain.png + gt/0_clean.png",),
)

rain100l = DatasetCard(
    name="rain100l",
    title="Rain100L (Yang 2017): light synthetic streaks over BSDS photographs",
    task="rain-streak",
    splits=_splits(train=Split((200,), TRAIN_WORDS, first=1), test=Split((100,), TEST_WORDS, first=1)),
    homepage="project page of JORDER (joint rain detection and removal), Peking University",
    paper="Yang et al., Deep Joint Rain Detection and Removal from a Single Image, CVPR 2017, arXiv:1609.07769",
    degraded_scores=MappingProxyType({"test": MappingProxyType({"y-matlab": (26.90, 0.838)})}),
    layouts=(
        "test/{rainy,gt}: rain-001.png + norain-001.png",
        "{rain,norain}: norain-001x2.png + norain-001.png",
        "{input,target}: 1.png + 1.png",
        "one folder: rain-1.png + norain-1.png",
    ),
)

rain100h = DatasetCard(
    name="rain100h",
    title="Rain100H (Yang 2017): heavy synthetic streaks in five directions over BSDS photographs",
    task="rain-streak",
    splits=_splits(train=Split((1800,), TRAIN_WORDS, first=1), test=Split((100,), TEST_WORDS, first=1)),
    homepage=rain100l.homepage,
    paper=rain100l.paper,
    layouts=rain100l.layouts,
)

rain800 = DatasetCard(
    name="rain800",
    title="Rain800 (Zhang 2017): synthetic streaks over UCID and BSDS photographs",
    task="rain-streak",
    splits=_splits(train=Split((700,), TRAIN_WORDS, first=1), test=Split((100,), TEST_WORDS, first=1)),
    sides="clean-degraded",
    homepage="the authors' repository hezhangsprinter/ID-CGAN",
    paper="Zhang et al., Image De-raining Using a Conditional Generative Adversarial Network, arXiv:1701.05957",
    layouts=("one picture per pair, both halves side by side", "{input,target}: 1.png + 1.png"),
)

rain1200 = DatasetCard(
    name="rain1200",
    title="Rain1200 (Zhang 2018): synthetic streaks of three densities",
    task="rain-streak",
    splits=_splits(train=Split((12000,), TRAIN_WORDS), test=Split((1200,), TEST_WORDS)),
    sides="degraded-clean",
    homepage="the authors' repository hezhangsprinter/DID-MDN",
    paper="Zhang and Patel, Density-aware Single Image De-raining Using a Multi-stream Dense Network,"
    " CVPR 2018, arXiv:1802.07412",
    layouts=(
        "Rain_{Heavy,Medium,Light}/train2018new: one picture per pair, both halves side by side",
        "{input,target}: 1.png + 1.png",
    ),
)

rain1400 = DatasetCard(
    name="rain1400",
    title="Rain1400, also called DDN (Fu 2017): fourteen synthetic rains over each of 1000 photographs",
    task="rain-streak",
    splits=_splits(train=Split((12600,), TRAIN_WORDS), test=Split((1400,), TEST_WORDS)),
    homepage="Xueyang Fu's project page of the CVPR 2017 paper",
    paper="Fu et al., Removing Rain from Single Images via a Deep Detail Network, CVPR 2017",
    layouts=("{rainy_image,ground_truth}: 901_1.jpg ... 901_14.jpg + 901.jpg",),
)

ddn_sirr_real = DatasetCard(
    name="ddn-sirr-real",
    title="DDN-SIRR real (Wei 2019): photographs of real rain without ground truth",
    task="rain-streak",
    splits=_splits(train=Split((147,), TRAIN_WORDS), test=Split((), TEST_WORDS)),
    paired=False,
    homepage="the authors' repository wwzjer/Semi-supervised-IRR",
    paper="Wei et al., Semi-supervised Transfer Learning for Image Rain Removal, CVPR 2019, arXiv:1807.11078",
    layouts=("one folder of images",),
)

real_rain = DatasetCard(
    name="real-rain",
    title="your own photographs of real rain, without ground truth",
    task="rain-streak",
    splits=_splits(train=Split((), TRAIN_WORDS), test=Split((), TEST_WORDS)),
    paired=False,
    license="that of each photograph",
    homepage="any folder of photographs",
    layouts=("one folder of images",),
)

CARDS = (raindrop, rain100l, rain100h, rain800, rain1200, rain1400, ddn_sirr_real, real_rain)
ALIASES = MappingProxyType({"ddn": "rain1400"})
