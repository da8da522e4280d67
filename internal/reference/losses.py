"""The cross-entropy of a linear head: losses/testdata."""

import torch

import common
import prng

STRIDE = 61  # of the vocabulary entries whose gradient is kept of a full vocabulary


def outputs(x, w, labels, smoothing, normalizer):
    x, w = x.detach().requires_grad_(), w.detach().requires_grad_()
    logits = x @ w.T
    rows = torch.nn.functional.cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing)
    if normalizer:
        loss = torch.nn.functional.cross_entropy(logits, labels, reduction="sum", label_smoothing=smoothing)
        loss = loss / normalizer
    else:
        loss = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=smoothing)
    loss.backward()
    grad_w = w.grad if w.shape[0] < 1000 else w.grad[::STRIDE]
    return {"rows": rows.detach(), "loss": loss.detach(), "grad.x": x.grad, "grad.w": grad_w}


def case(name, rows, dim, vocabulary, seed, scale=2.0, smoothing=0.0, normalizer=0, masked=()):
    """The hidden states are fill("x", scale), the head fill("w", 2)."""
    x = torch.from_numpy(prng.fill("x", rows * dim, scale, seed).reshape(rows, dim))
    w = torch.from_numpy(prng.fill("w", vocabulary * dim, 2.0, seed).reshape(vocabulary, dim))
    labels = prng.integers("labels", rows, 0, vocabulary, seed)
    labels[list(masked)] = -100
    results = [outputs(x.to(t), w.to(t), torch.from_numpy(labels), smoothing, normalizer)
               for t in (torch.float32, torch.float64)]
    meta = {"weights": common.weights(seed, scale, 2.0), "shape": [rows, dim, vocabulary], "normalizer": normalizer,
            "label_smoothing": smoothing}
    common.save(f"losses/testdata/{name}", {"targets": labels} | results[0], results[1], meta)


def main():
    case("plain", 6, 5, 9, 1)
    case("masked", 9, 7, 13, 2, masked=[0, 4, 5, 8])
    case("one_row", 1, 3, 11, 3)
    case("two_classes", 17, 6, 2, 4)
    case("huge_logits", 8, 8, 23, 5, scale=3000.0)
    case("tiny_logits", 8, 8, 23, 6, scale=1e-6)
    case("smoothed", 9, 7, 13, 7, smoothing=0.1, masked=[2])
    case("much_smoothed", 9, 7, 13, 8, smoothing=0.9)
    case("smoothed_huge_logits", 8, 8, 23, 9, scale=3000.0, smoothing=0.1)
    case("normalized", 9, 7, 13, 10, normalizer=23, masked=[1])
    case("smoothed_normalized", 9, 7, 13, 11, smoothing=0.2, normalizer=4, masked=[1])
    case("full_vocabulary", 45, 4, 50257, 12, masked=[3, 40])


if __name__ == "__main__":
    main()
