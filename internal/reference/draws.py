"""Holds weights.go to prng.py: internal/reference/testdata/fill.json."""

import os

import numpy as np

import common
import prng


def main():
    cases = []
    for seed, name, shape in [
        (0, "", [3]),
        (1, "encoder.layernorm.weight", [4]),
        (1, "encoder.layernorm.bias", [4]),
        (2**64 - 1, "transformer.wte.weight", [3, 2]),
        (7, "transformer.h.0.attn.c_attn.weight", [2, 6]),
        (7, "einbettung.größe", [2, 1, 2]),
    ]:
        weights = common.weights(seed, 0.37, 1.1)
        w = prng.weight(name, shape, seed, 0.37, 1.1)
        cases.append({"weights": weights, "name": name, "shape": shape, "bits": w.ravel().view(np.uint32).tolist()})
    folder = "internal/reference/testdata"
    os.makedirs(folder, exist_ok=True)
    common.write_json(folder + "/fill.json", cases)


if __name__ == "__main__":
    main()
