"""Makes the golden weight files of internal/safetensors, internal/pytorch and internal/checkpoint.

Usage: python internal/reference/files.py   (from the module's root, with the packages of requirements.txt)

Every file comes with a JSON of the same stem that lists, for each tensor, its type, shape and values as float64, as
torch reads them.
"""

import io
import json
import os
import zipfile
from collections import OrderedDict
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


def views():
    """Tensors that share storages, with offsets, gaps and other orders of the axes."""
    block = sample(4, 6, seed=11)
    patches = sample(2, 3, 4, 5, seed=12)
    half = sample(9, dtype=torch.float16, seed=13)
    return {
        "whole": block,
        "tied": block,
        "rows": block[1:3],
        "columns": block[:, 2:5],
        "transposed": block.t(),
        "every.other": block.flatten()[1::2],
        "one": block[3, 5],
        "no.rows": block[4:],
        "permuted": patches.permute(2, 0, 3, 1)[1:, :, ::2],
        "channels.last": patches.to(memory_format=torch.channels_last),
        "expanded": half[4:6, None].expand(2, 3),
        "half": half[3:],
    }


def parameters():
    """A module's state dict, with its _metadata, and parameters with and without attributes."""
    torch.manual_seed(14)
    state = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 2), torch.nn.BatchNorm2d(3)).state_dict()
    plain = torch.nn.Parameter(sample(2, 3, seed=15))
    noted = torch.nn.Parameter(sample(3, seed=16), requires_grad=False)
    noted.note = {"decay": False, "groups": [1, -2, 1 << 40]}
    return OrderedDict(state, plain=plain, noted=noted)


def rezip(data, compression=zipfile.ZIP_STORED, replace=()):
    """Packs an archive anew, replacing or (by None) leaving out the entries whose names end so."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", compression) as new:
        for name in old.namelist():
            content = old.read(name)
            for end, other in dict(replace).items():
                if name.endswith(end):
                    content = other
            if content is not None:
                new.writestr(zipfile.ZipInfo(name), content, compression)
    return out.getvalue()


class Evil:
    def __reduce__(self):
        return os.system, ("touch evil",)


def pytorch_files():
    out = INTERNAL / "pytorch" / "testdata"
    out.mkdir(exist_ok=True)

    def saved(value, **options):
        file = io.BytesIO()
        torch.save(value, file, **options)
        return file.getvalue()

    legacy = {"_use_new_zipfile_serialization": False}
    for name, tensors in {"dtypes": every_dtype(), "views": views(), "parameters": parameters()}.items():
        write_golden(out / name, tensors)
        (out / f"{name}.zip.bin").write_bytes(saved(tensors))
        (out / f"{name}.legacy.bin").write_bytes(saved(tensors, **legacy))
    (out / "dtypes.protocol4.bin").write_bytes(saved(every_dtype(), pickle_protocol=4))
    (out / "views.deflated.bin").write_bytes(rezip(saved(views()), zipfile.ZIP_DEFLATED))

    unsigned = {"u16": torch.tensor([1, 65535], dtype=torch.uint16), "f8": torch.ones(3).to(torch.float8_e4m3fn),
                "c128": torch.ones(2, dtype=torch.complex128), "x": sample(2, seed=17)}
    (out / "rare.bin").write_bytes(saved(unsigned))
    nested = {"epoch": 3, "state_dict": OrderedDict(w=sample(2, 2, seed=18)), "loss": 0.5, "done": [True, None]}
    (out / "nested.bin").write_bytes(saved(nested))

    # What must be refused.
    one = saved({"w": torch.ones(3)})
    (out / "evil.zip.bin").write_bytes(saved({"w": torch.ones(3), "x": Evil()}))
    (out / "evil.legacy.bin").write_bytes(saved({"w": torch.ones(3), "x": Evil()}, **legacy))
    (out / "module.bin").write_bytes(saved(torch.nn.Linear(1, 1)))
    (out / "bigendian.bin").write_bytes(rezip(one, replace={"/byteorder": b"big"}))
    (out / "lost.bin").write_bytes(rezip(one, replace={"/data/0": None}))
    (out / "short.bin").write_bytes(rezip(one, replace={"/data/0": b"12345678901"}))
    (out / "tensor.bin").write_bytes(saved(torch.ones(3)))
    (out / "negated.bin").write_bytes(saved({"w": torch.ones(2, dtype=torch.complex64).conj().imag}))


def checkpoint_files():
    out = INTERNAL / "checkpoint" / "testdata"
    out.mkdir(exist_ok=True)
    torch.save(torch.nn.Linear(2, 1).state_dict(), out / "pytorch_model.bin")


if __name__ == "__main__":
    safetensors_files()
    pytorch_files()
    checkpoint_files()
