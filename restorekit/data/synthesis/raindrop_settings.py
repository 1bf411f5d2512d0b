"""What raindrops on glass look like: the ranges from which images draw them, and presets of these."""

from __future__ import annotations

from dataclasses import dataclass

from restorekit.data.synthesis.draws import Range

REFERENCE_AREA = 720 * 480
"""Pixels of the images (Raindrop, Qian 2018) in which the settings' sizes and counts were measured."""


@dataclass(frozen=True)
class RaindropSettings:
    """Ranges from which each image draws its drops; every range is (lowest, highest).

    `count`: drops per 720x480 pixels (at `scale` 1). `diameter`: median diameter, pixels; single drops vary
    by a two-sided log-normal law with the sigmas `smaller` and `larger`, up to `largest` pixels. `running`:
    share of drops that run down the glass; `elongation`: their height over width. `opacity`: of a drop
    larger than the blur. `defocus`: half width of the soft edge, pixels. `view`: half angle of the scene in
    a drop, in half images. `sky`: share of sky light added to what the drop shows; `sky_lift`: how far that
    light is from the scene's brightest parts (0) to white (1). `rim`: darkening (positive) or brightening
    (negative) at the edge. `detail`: how much of the picture inside a drop its blur leaves (0: its mean).
    `local`: share of light from behind the drop, widely blurred, in place of that from all around. `relief`: how much
    a drop in focus brightens towards its lower edge, where it shows the sky, and darkens towards its upper one.
    `aperture`: diameter of the disc to which the lens spreads each point of the pane, pixels; `glare`: by what the
    linear light of the drops is multiplied before (skies that would overexpose).
    `scale`: multiplies every size, for images that are larger or smaller views than 720x480; it keeps the
    covered share.
    """

    count: Range = (45.0, 130.0)
    diameter: Range = (11.0, 16.0)
    smaller: float = 0.45
    larger: float = 1.0
    largest: float = 150.0
    running: Range = (0.0, 0.2)
    elongation: Range = (1.4, 2.6)
    opacity: Range = (0.65, 1.05)
    defocus: Range = (2.5, 9.0)
    view: Range = (1.0, 2.0)
    sky: Range = (0.25, 0.75)
    sky_lift: Range = (0.2, 0.6)
    rim: Range = (-0.1, 0.3)
    detail: Range = (1.0, 1.0)
    local: Range = (0.0, 0.0)
    relief: Range = (0.0, 0.0)
    aperture: Range = (0.0, 0.0)
    glare: Range = (1.0, 1.0)
    scale: float = 1.0


DROPS = RaindropSettings()
"""Drops of which the outline can be seen, on a pane that is somewhat out of focus."""

SOFT = RaindropSettings(
    count=(60.0, 220.0),
    diameter=(16.0, 46.0),
    larger=0.5,
    opacity=(0.85, 1.35),
    defocus=(10.0, 40.0),
    sky=(0.0, 0.75),
    sky_lift=(0.05, 0.65),
    rim=(-0.1, 0.1),
    detail=(0.0, 0.6),
    local=(0.2, 0.8),
)
"""A pane close to the lens and far out of focus: pale spots without an outline that run into each other."""

SHARP = RaindropSettings(
    count=(100.0, 700.0),
    diameter=(4.0, 10.0),
    smaller=0.4,
    larger=0.5,
    largest=45.0,
    running=(0.0, 0.25),
    opacity=(0.9, 1.2),
    defocus=(0.5, 2.2),
    view=(1.0, 2.5),
    sky=(0.0, 0.5),
    sky_lift=(0.1, 0.9),
    rim=(-0.2, 0.9),
    detail=(0.7, 1.0),
    local=(0.0, 1.0),
    relief=(0.2, 1.3),
)
"""Many small drops in focus, each a tiny view upside down: bright below, dark above."""

WIDE = RaindropSettings(
    count=(10.0, 150.0),
    diameter=(8.0, 26.0),
    smaller=0.5,
    larger=0.8,
    largest=120.0,
    running=(0.0, 0.3),
    opacity=(0.5, 1.05),
    defocus=(1.5, 7.0),
    view=(0.8, 2.2),
    sky=(0.0, 0.7),
    sky_lift=(0.0, 0.6),
    rim=(-0.4, 0.4),
    detail=(0.3, 1.0),
    local=(0.0, 0.7),
    relief=(0.0, 0.6),
)
"""From few to many drops of all sizes, faint to opaque, darker or brighter than the scene; some run down the glass."""

BOKEH = RaindropSettings(
    count=(20.0, 320.0),
    diameter=(4.0, 15.0),
    smaller=0.4,
    larger=0.5,
    largest=45.0,
    running=(0.0, 0.1),
    opacity=(0.9, 1.2),
    defocus=(0.5, 1.0),
    view=(1.0, 2.5),
    sky=(0.2, 0.9),
    sky_lift=(0.0, 1.0),
    rim=(-0.2, 0.4),
    detail=(0.3, 1.0),
    local=(0.0, 0.7),
    relief=(0.0, 1.0),
    aperture=(8.0, 100.0),
    glare=(0.5, 2.5),
)
"""A pane far out of focus behind which the scene stays sharp: each drop is a disc of the lens's aperture."""

RIVULETS = RaindropSettings(
    count=(8.0, 90.0),
    diameter=(10.0, 22.0),
    smaller=0.5,
    larger=0.4,
    largest=80.0,
    running=(0.5, 1.0),
    elongation=(3.0, 10.0),
    opacity=(0.6, 1.1),
    defocus=(0.7, 2.0),
    view=(0.8, 2.2),
    sky=(0.0, 0.6),
    sky_lift=(0.0, 0.9),
    rim=(-0.3, 0.9),
    detail=(0.3, 1.0),
    local=(0.3, 1.0),
    relief=(0.0, 0.8),
)
"""Water that runs down the glass in streaks, with drops between them."""

MIXED = (DROPS, SOFT)
"""Each image takes one of the two, by its key; both kinds are in the Raindrop data set (Qian et al., 2018)."""

LENS = (*6 * (SHARP,), *3 * (WIDE,), *8 * (DROPS,), *6 * (SOFT,), RIVULETS, *14 * (BOKEH,))
"""Each image takes one of the six, in these shares: as photographs through wet glass show them."""

PRESETS: dict[str, RaindropSettings | tuple[RaindropSettings, ...]] = {
    "drops": DROPS,
    "soft": SOFT,
    "sharp": SHARP,
    "wide": WIDE,
    "bokeh": BOKEH,
    "rivulets": RIVULETS,
    "mixed": MIXED,
    "lens": LENS,
}
