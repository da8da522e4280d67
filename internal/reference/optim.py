"""Golden weights of package optim: 50 steps of torch.optim on small tensors.

Writes ../../optim/testdata/golden.json. The weights to begin with and the gradients come from `value`, which the Go
test has too. Run with ATEN_CPU_CAPABILITY unset or avx2, where PyTorch's kernels use fused multiply-add.

PyTorch's sqrt of a contiguous float tensor is MKL's, which is not correctly rounded (1 ulp in about 0.6 % of values).
Adam's cases are therefore recorded twice: as PyTorch computes them, and with the correctly rounded square root ("ieee"),
which another implementation can match to the bit.
"""

import json
import pathlib

import numpy as np
import torch
from transformers import get_scheduler

SIZES = [1, 5, 21, 33]  # one tensor each; the first two are group 0, the others group 1
STEPS = 50


def value(seed, i):
    """A float of 16 bits in [-0.5, 0.5), the same in every language."""
    x = (seed * 2654435761 + i * 40503 + 12345) & 0xFFFFFFFF
    x ^= x >> 15
    x = (x * 739951213) & 0xFFFFFFFF
    x ^= x >> 12
    x = (x * 695872825) & 0xFFFFFFFF
    return (x >> 16) / 65536 - 0.5


def weights(tensor, size):
    return [value(tensor, i) for i in range(size)]


def gradient(tensor, size, step, scale):
    """Of very different magnitudes. Tensor 1 has no gradient at every third step."""
    if tensor == 1 and step % 3 == 2:
        return None
    return [scale * value(1000 + 100 * step + tensor, i) * 2.0 ** -(i % 9) for i in range(size)]


def ieee_sqrt(x):
    return torch.from_numpy(np.sqrt(x.numpy()))


ADAM = dict(betas=(0.9, 0.999), eps=1e-8)
CASES = [  # name, class, options, group rates, group decays, clip, scale of gradients, schedule
    ("adamw", "AdamW", ADAM, [1e-3, 1e-3], [0.01, 0.01], 0, 1, None),
    ("adamw no decay, two rates", "AdamW", ADAM, [1e-2, 3e-4], [0, 0], 0, 1, None),
    ("adamw two decays", "AdamW", ADAM, [1e-3, 1e-2], [0.1, 0], 0, 1, None),
    ("adamw other betas", "AdamW", dict(betas=(0.3, 0.95), eps=1e-3), [1e-2, 1e-2], [0.01, 0.01], 0, 1, None),
    ("adamw clipped", "AdamW", ADAM, [1e-3, 1e-3], [0.01, 0.01], 1.0, 8, None),
    ("adamw linear", "AdamW", ADAM, [1e-3, 1e-2], [0.01, 0.01], 0, 1, ("linear", 10, 50)),
    ("adamw cosine", "AdamW", ADAM, [1e-3, 1e-2], [0.01, 0.01], 0, 1, ("cosine", 7, 50)),
    ("adamw constant", "AdamW", ADAM, [1e-3, 1e-2], [0.01, 0.01], 0, 1, ("constant_with_warmup", 20, 0)),
    ("adam", "Adam", ADAM, [1e-3, 1e-3], [0, 0], 0, 1, None),
    ("adam decay", "Adam", ADAM, [1e-3, 1e-2], [0.1, 0.01], 0, 1, None),
    ("sgd", "SGD", dict(), [0.1, 0.01], [0, 0], 0, 1, None),
    ("sgd decay", "SGD", dict(), [0.1, 0.01], [0.1, 0.01], 0, 1, None),
    ("sgd momentum", "SGD", dict(momentum=0.9), [0.1, 0.01], [0, 0.01], 0, 1, None),
    ("sgd dampening", "SGD", dict(momentum=0.9, dampening=0.5), [0.1, 0.01], [0, 0.01], 0, 1, None),
    ("sgd nesterov", "SGD", dict(momentum=0.9, nesterov=True), [0.1, 0.01], [0, 0.01], 0, 1, None),
    ("sgd nesterov clipped, cosine", "SGD", dict(momentum=0.9, nesterov=True), [0.1, 0.01], [0, 0.01], 0.5, 4, ("cosine", 5, 50)),
]


def run(case, dtype):
    name, cls, options, rates, decays, clip, scale, schedule = case
    params = [torch.tensor(weights(t, n), dtype=dtype, requires_grad=True) for t, n in enumerate(SIZES)]
    groups = [
        dict(params=params[2 * g : 2 * g + 2], lr=rates[g], weight_decay=decays[g]) for g in range(2)
    ]
    optimizer = getattr(torch.optim, cls)(groups, foreach=False, **options)
    scheduler = get_scheduler(schedule[0], optimizer, schedule[1], schedule[2]) if schedule else None
    first, norms, lrs = None, [], []
    for step in range(STEPS):
        for t, p in enumerate(params):
            g = gradient(t, SIZES[t], step, scale)
            p.grad = None if g is None else torch.tensor(g, dtype=dtype)
        if clip:
            norms.append(float(torch.nn.utils.clip_grad_norm_(params, clip)))
        lrs.append([g["lr"] for g in optimizer.param_groups])
        optimizer.step()
        if scheduler:
            scheduler.step()
        if step == 0:
            first = [p.tolist() for p in params]
    moments = {}
    for t, p in enumerate(params):
        for key, m in optimizer.state[p].items():
            if key != "step" and m is not None:
                moments[f"{t}.{key}"] = m.tolist()
    return dict(first=first, last=[p.tolist() for p in params], moments=moments, norms=norms), lrs


def main():
    cases, sqrt = [], torch.Tensor.sqrt
    for case in CASES:
        name, cls, options, rates, decays, clip, scale, schedule = case
        record = dict(name=name, optimizer=cls, rates=rates, decays=decays, clip=clip, scale=scale)
        record["options"] = {k: list(v) if isinstance(v, tuple) else v for k, v in options.items()}
        if schedule:
            record["schedule"] = dict(name=schedule[0], warmup=schedule[1], total=schedule[2])
        record["float32"], lrs = run(case, torch.float32)
        record["float64"], _ = run(case, torch.float64)
        if schedule:
            record["schedule"]["rates"] = lrs
        if cls != "SGD":
            torch.Tensor.sqrt = ieee_sqrt
            record["float32 ieee"], _ = run(case, torch.float32)
            torch.Tensor.sqrt = sqrt
        cases.append(record)
    out = pathlib.Path(__file__).parents[2] / "optim/testdata/golden.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")


if __name__ == "__main__":
    main()
