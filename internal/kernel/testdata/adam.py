"""Writes adam.bin: three steps of torch.optim's single-tensor AdamW (decay 0.01) and Adam (L2 penalty 0.1), float32.

For each of the two, little endian: the weights, three gradients, and after the third step the weights and both moments, 37
elements each. Versions: internal/reference/requirements.txt.
"""
import pathlib

import numpy as np
import torch

torch.manual_seed(0)
out = []
for optimizer, decay in ((torch.optim.AdamW, 0.01), (torch.optim.Adam, 0.1)):
    w, gradients = torch.randn(37), [torch.randn(37) for _ in range(3)]
    p = torch.nn.Parameter(w.clone())
    o = optimizer([p], lr=1e-3, weight_decay=decay, foreach=False)
    for g in gradients:
        p.grad = g.clone()
        o.step()
    out += [w, *gradients, p.detach(), o.state[p]["exp_avg"], o.state[p]["exp_avg_sq"]]
np.concatenate([t.numpy() for t in out]).astype("<f4").tofile(pathlib.Path(__file__).parent / "adam.bin")
