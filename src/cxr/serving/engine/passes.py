"""How many films a CPU should run at once."""

_PIXELS = 100_000


def films_per_pass(side: int) -> int:
    """Films of one forward pass on a CPU, at least 1; a larger batch is run in several.

    Small films run faster together, since one alone does not occupy the cores: at 96 and 128 px a film of a batch takes
    about 0.8 of the time of a lone one, and most of that is gained with 100,000 pixels. Beyond them a batch gains
    nothing and costs memory: DenseNet-121 under OpenVINO runs films of 224 px fastest one by one, in 0.2 GB, where 16
    at once take 0.9 GB.
    """
    return max(1, _PIXELS // side**2)
