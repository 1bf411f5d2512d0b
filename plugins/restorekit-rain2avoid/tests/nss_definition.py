"""The definition of NSS, pixel by pixel in float64, in plain NumPy: slow, and the reference of the tests."""

import numpy as np


def candidates_and_probabilities(image, prior, y, x, compare="rain-free"):
    """Return the candidates [(row, column)] and their probabilities for the rain pixel (y, x)."""
    height, width = prior.shape
    places = [
        (v, u)
        for v in range(max(0, y - 3), min(height, y + 4))
        for u in range(max(0, x - 3), min(width, x + 4))
        if prior[v, u] == 0
    ]
    if not places:
        return [], np.zeros(0)
    radius = 1
    while not _patch_inside(prior, y, x, radius):
        radius += 1
    weights = np.array([_weight(image, prior, (y, x), place, radius, compare) for place in places])
    return places, weights / weights.sum()


def expectation(image, prior, compare="rain-free"):
    """Return the exact mean of the references, float64 [H, W, 3], for the image [H, W, 3] in 0..255."""
    result = image.astype(np.float64).copy()
    for y, x in zip(*np.nonzero(prior > 10), strict=True):
        places, probabilities = candidates_and_probabilities(image, prior, y, x, compare)
        if places:
            values = np.array([image[place] for place in places], dtype=np.float64)
            result[y, x] = probabilities @ values
    return result


def _patch_inside(prior, y, x, radius):
    window = prior[max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1]
    return (window == 0).any()


def _value(image, y, x):
    inside = 0 <= y < image.shape[0] and 0 <= x < image.shape[1]
    return image[y, x].astype(np.float64) if inside else np.zeros(3)


def _counts(prior, y, x, compare):
    inside = 0 <= y < prior.shape[0] and 0 <= x < prior.shape[1]
    rain_free = not inside or prior[y, x] == 0
    return rain_free == (compare == "rain-free")


def _weight(image, prior, rain, place, radius, compare):
    distance = 0.0
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            y, x = rain[0] + dy, rain[1] + dx
            if _counts(prior, y, x, compare):
                other = _value(image, place[0] + dy, place[1] + dx)
                distance += np.abs(_value(image, y, x) - other).sum()
    return 1 / max(distance**0.5, 1e-4)
