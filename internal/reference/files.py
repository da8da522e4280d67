"""Makes the golden weight files of internal/safetensors, internal/pytorch and internal/checkpoint.

Usage: python internal/reference/files.py   (from the module's root, with the packages of requirements.txt)

Every file comes with a JSON of the same stem that lists, for each tensor, its type, shape and values as float64, as
torch reads them.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

INTERNAL = Path(__file__).resolve().parent.parent


def describe(tensors):
    return {
        name: {
            "dtype": str(t.dtype).removeprefix("torch."),
            "shape": list(t.shape),
            "values": t.detach().to(torch.float64).flatten().tolist(),
        }
        for name, t in tensors.items()
    }


def write_golden(path, tensors):
    text = json.dumps(describe(tensors), separators=(",", ":"))
    path.with_suffix(".json").write_text(text + "\n")


def sample(*shape, dtype=torch.float32, seed=0):
    """Values of many sizes, none of them infinite in any type."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=g, dtype=torch.float64)
    scale = 10.0 ** torch.randint(-6, 4, shape, generator=g).to(torch.float64)
    return (x * scale).to(dtype)


def every_dtype():
    return {
        "f32": sample(3, 5, seed=1),
        "f16": sample(2, 3, 2, dtype=torch.float16, seed=2),
        "bf16": sample(7, dtype=torch.bfloat16, seed=3),
        "f64": sample(2, 2, dtype=torch.float64, seed=4),
        "patches": sample(4, 3, 2, 2, seed=5),
        "scalar": torch.tensor(3.25),
        "empty": torch.zeros(0, 4),
        "i64": torch.tensor([[-3, 1 << 40], [2, 0]]),
        "i32": torch.tensor([-7, 8], dtype=torch.int32),
        "i16": torch.tensor([-300], dtype=torch.int16),
        "i8": torch.tensor([-128, 127], dtype=torch.int8),
        "u8": torch.tensor([0, 255, 3], dtype=torch.uint8),
        "mask": torch.tensor([[True, False], [True, True]]),
    }


def safetensors_files():
    out = INTERNAL / "safetensors" / "testdata"
    out.mkdir(exist_ok=True)
    tensors = every_dtype()
    save_file(tensors, out / "dtypes.safetensors", metadata={"format": "pt"})
    write_golden(out / "dtypes.safetensors", tensors)

    # What Write must reproduce to the byte.
    floats = {n: tensors[n] for n in ("patches", "f16", "f32", "bf16", "scalar", "empty")}
    floats["another.f16"] = sample(5, dtype=torch.float16, seed=6)
    floats["another.bf16"] = sample(1, 1, dtype=torch.bfloat16, seed=7)
    save_file(floats, out / "floats.safetensors", metadata={"format": "pt"})

    # Rounding: random bit patterns, ties, subnormals and the borders of float16, with torch's results.
    g = torch.Generator().manual_seed(8)
    bits = torch.randint(-(1 << 31), (1 << 31) - 1, (1500,), generator=g).to(torch.int32).view(torch.float32)
    near = torch.tensor([0.0, -0.0, 65504, 65519.996, 65520, 65536, -65519.996, 2**-14, 2**-15, 2**-24, 2**-25,
                         1.5 * 2**-25, 2**-26, 1e-40, 1 + 2**-11, 1 + 3 * 2**-11, 1 + 2**-8, 1 + 3 * 2**-8,
                         3.3895e38, 3.4028235e38, float("inf"), float("-inf")])
    ties = (torch.randint(0, 0x7C00, (500,), generator=g).to(torch.int16).view(torch.float16).float()
            + torch.randint(0, 0x7C00, (500,), generator=g).to(torch.int16).view(torch.float16).float()) / 2
    x = torch.cat([bits[~bits.isnan()], near, ties])
    save_file({"f32": x, "f16": x.to(torch.float16), "bf16": x.to(torch.bfloat16)}, out / "rounding.safetensors")


if __name__ == "__main__":
    safetensors_files()
