"""The ramp of gradual pruning: at what time of a training a density is reached.

Source: Zhu & Gupta 2017, "To prune, or not to prune" (arXiv 1710.01878), eq. 1.
"""


def cubic_times(densities):
    """Return when the cubic ramp reaches each density, in [0, 1] of its length.

    The sparsity at time t is s(t) = s_n * (1 - (1 - t)^3): fast while there is much to spare, slow towards the end. The
    paper prunes at even times to whatever the ramp then asks for; here the densities are a schedule's, and the times
    are solved for: t = 1 - (1 - s / s_n)^(1/3).

    Args:
        densities: of level 0, 1 … n, falling from 1.
    Returns:
        list of n times, rising to 1 (empty for n = 0).
    """
    final = 1 - densities[-1]
    return [1 - max(0.0, 1 - (1 - density) / final) ** (1 / 3) for density in densities[1:]]
