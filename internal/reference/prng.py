"""Numbers that Python and Go draw alike, bit for bit, so that no weights need be stored.

Element i of fill(name, n, scale, seed) is a splitmix64 output in counter mode:

    state = mix(seed) xor fnv1a64(name)             (all arithmetic modulo 2**64)
    z     = mix(state + (i + 1) * 0x9E3779B97F4A7C15)
    u     = (z >> 40) - 2**23                       (24 bits, -2**23 <= u < 2**23)
    value = float32(u * 2**-23) * float32(scale)    (one rounding)

with mix the finaliser of splitmix64 and fnv1a64 the 64-bit FNV-1a hash of the name's UTF-8 bytes.
The values are uniform in [-scale, scale). weights.go is the twin; both are held to testdata/fill.json.
"""

import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def mix(z):
    with np.errstate(over="ignore"):
        z = np.uint64(z)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def fnv1a64(name):
    h = 0xCBF29CE484222325
    for b in name.encode():
        h = (h ^ b) * 0x100000001B3 % 2**64
    return np.uint64(h)


def bits(name, n, seed):
    """n outputs of 64 bits."""
    with np.errstate(over="ignore"):
        state = mix(seed) ^ fnv1a64(name)
        i = np.arange(1, n + 1, dtype=np.uint64)
        z = state + i * GOLDEN
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def fill(name, n, scale, seed):
    """n float32 numbers, uniform in [-scale, scale)."""
    u = (bits(name, n, seed) >> np.uint64(40)).astype(np.int64) - 2**23
    return u.astype(np.float32) * np.float32(2.0**-23) * np.float32(scale)


def integers(name, n, low, high, seed):
    """n integers, low <= value < high."""
    return low + (bits(name, n, seed) % np.uint64(high - low)).astype(np.int64)


def weight(name, shape, seed, scale, embedding_scale):
    """The tensor of one parameter, by its state-dict name.

    A gain of a layer norm (one-dimensional and called weight) is 1 + fill(0.25), the token embedding, which is the
    LM head too, fill(embedding_scale), all else fill(scale).
    """
    n = int(np.prod(shape))
    if name.endswith("wte.weight") or name.endswith("lm_head.weight"):
        return fill(name, n, embedding_scale, seed).reshape(shape)
    if len(shape) == 1 and name.endswith("weight"):
        return (np.float32(1) + fill(name, n, 0.25, seed)).reshape(shape)
    return fill(name, n, scale, seed).reshape(shape)
