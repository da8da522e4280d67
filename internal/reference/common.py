"""What the reference scripts share: models with drawn weights, and the writing of a case."""

import copy
import json
import os
import shutil
import sys
import tempfile

# Set before torch is imported: the order of a sum must not depend on the machine's number of cores.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"

import numpy as np
import torch
import transformers
from safetensors.numpy import load_file, save_file
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    VisionEncoderDecoderModel,
    ViTConfig,
    ViTModel,
)
from transformers.core_model_loading import revert_weight_conversion

import prng

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)
transformers.utils.logging.disable_progress_bar()

ROOT = os.path.normpath(os.path.join(os.path.dirname(__file__), "..", ".."))
os.chdir(ROOT)


def stored_names(model):
    """Maps the names of a model's tensors in memory to those of its state dict on disk.

    transformers 5 renames the modules of ViT and DeiT; files keep the old names, and so do we.
    """
    names = list(model.state_dict())
    tags = {name: torch.tensor([i]) for i, name in enumerate(names)}
    return {names[int(tag)]: stored for stored, tag in revert_weight_conversion(model, tags).items()}


def parameters(model):
    """(stored name, parameter) of each distinct parameter, sorted by name; a tied weight appears once."""
    stored = stored_names(model)
    return sorted((stored[name], p) for name, p in model.named_parameters())


def draw(model, weights):
    """Fills the model with drawn weights, in place, and returns it in evaluation mode."""
    with torch.no_grad():
        for name, p in parameters(model):
            w = prng.weight(name, tuple(p.shape), weights["seed"], weights["scale"], weights["embedding_scale"])
            p.copy_(torch.from_numpy(w))
    return model.eval()


def weights(seed, scale=0.4, embedding_scale=1.0):
    return {"seed": seed, "scale": scale, "embedding_scale": embedding_scale}


def vit(**options):
    """A small ViT without a pooler."""
    config = dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40, image_size=12,
                  patch_size=4)
    return ViTModel(ViTConfig(**config | options, attn_implementation="eager"), add_pooling_layer=False)


def gpt2(**options):
    """A small GPT-2 whose last token id is BOS and EOS, as in the true one."""
    config = dict(n_embd=24, n_layer=2, n_head=3, n_positions=20, vocab_size=61)
    config |= options
    config |= dict(bos_token_id=config["vocab_size"] - 1, eos_token_id=config["vocab_size"] - 1)
    return GPT2LMHeadModel(GPT2Config(**config, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0,
                                      attn_implementation="eager"))


def join(encoder, decoder):
    """An encoder-decoder whose BOS, EOS, PAD and start token are the decoder's EOS, as in the recipe."""
    model = VisionEncoderDecoderModel(encoder=encoder, decoder=decoder)
    eos = decoder.config.eos_token_id
    for config in (model.config, model.generation_config):
        config.bos_token_id = config.eos_token_id = config.pad_token_id = config.decoder_start_token_id = eos
    return model


def joined(encoder=None, **decoder_options):
    """A small ViT and a small GPT-2 with cross-attention."""
    return join(encoder or vit(), gpt2(add_cross_attention=True, is_decoder=True, **decoder_options))


def fuse(model):
    """Switches to fused attention; an encoder-decoder's set_attn_implementation does not reach its parts."""
    for module in model.modules():
        if hasattr(module, "config"):
            module.config._attn_implementation = "sdpa"


def double(model):
    """A float64 twin. Its attention is the fused one: ViT's eager softmax is float32 whatever the model's type."""
    twin = copy.deepcopy(model).double()
    fuse(twin)
    return twin


def pixels(name, batch, channels, height, width, seed):
    """Drawn pixel values, about as wide as normalised ones."""
    values = prng.fill(name, batch * channels * height * width, 1.7, seed)
    return torch.from_numpy(values.reshape(batch, channels, height, width))


def offsets(lengths):
    """[n+1]: where each of the packed sequences starts, and the total."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def relative(a, b):
    """The largest difference over the largest magnitude."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30))


def zero_vanishing_gradients(golden, golden64):
    """Makes a gradient that is zero but for rounding (the key bias of an attention) zero in both."""
    largest = max(float(v.abs().max()) for k, v in golden64.items() if k.startswith("grad."))
    for k, v in golden64.items():
        if k.startswith("grad.") and v.abs().max() < 1e-12 * largest:
            golden[k], golden64[k] = torch.zeros_like(golden[k]), torch.zeros_like(v)


def floors(golden, golden64):
    """The relative difference of float32 from float64 of each output; of the gradients, and of final weights, the largest."""
    out = {}
    for k, v in golden64.items():
        group = k.split(".")[0] if k.startswith(("grad.", "final.")) else k
        out[group] = max(out.get(group, 0), float(f"{relative(golden[k].detach(), v.detach()):.1e}"))
    return out


def save(folder, golden, golden64, meta):
    """Writes golden.safetensors and meta.json into a folder.

    golden has inputs, and outputs computed in float32; golden64 the same outputs computed in float64. These are what
    is stored, rounded; the largest relative difference between the two goes to meta.json as the floor.
    """
    os.makedirs(folder, exist_ok=True)
    exact = {k: np.ascontiguousarray(v) for k, v in (golden | {k: v.float() for k, v in golden64.items()}).items()}
    integers = {k: exact.pop(k).tolist() for k in list(exact) if exact[k].dtype == np.int64}
    save_file(exact, folder + "/golden.safetensors")
    out = {"transformers": transformers.__version__, "torch": torch.__version__.split("+")[0]} | meta
    if integers:
        out["integers"] = integers
    if "loss" in golden64:
        out["loss"] = float(golden64["loss"])
    out["floor"] = floors(golden, golden64)
    print(f"{folder}: floor {max(out['floor'].values()):.1e}", file=sys.stderr)
    write_json(folder + "/meta.json", out)


def save_config(folder, model, with_weights):
    """Writes the model's configuration and, if asked to, its weights; returns the shapes of its parameters."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    with tempfile.TemporaryDirectory() as tmp:
        model.save_pretrained(tmp)
        for file in os.listdir(tmp):
            if with_weights or file != "model.safetensors":
                shutil.copyfile(os.path.join(tmp, file), os.path.join(folder, file))
        tensors = load_file(tmp + "/model.safetensors")
    return [{"name": name, "shape": list(tensors[name].shape)} for name in sorted(tensors)]


def write(folder, model, golden, meta, drawn, golden64):
    """Writes a case (see save). With drawn (see weights) the parameters are not stored."""
    parameters = save_config(folder, model, with_weights=drawn is None)
    if drawn is not None:
        meta = {"weights": drawn, "parameters": parameters} | (meta or {})
    save(folder, golden, golden64, meta or {})


def write_json(path, value):
    """Indented, but lists and small objects on one line."""
    def text(v, indent):
        flat = json.dumps(v)
        if len(flat) < 110 or not isinstance(v, (dict, list)):
            return flat
        pad = " " * (indent + 1)
        if isinstance(v, dict):
            items = [f"{pad}{json.dumps(k)}: {text(x, indent + 1)}" for k, x in v.items()]
            return "{\n" + ",\n".join(items) + "\n" + " " * indent + "}"
        if all(isinstance(x, (int, float)) for x in v):
            return flat
        return "[\n" + ",\n".join(pad + text(x, indent + 1) for x in v) + "\n" + " " * indent + "]"

    with open(path, "w") as f:
        f.write(text(value, 0) + "\n")
