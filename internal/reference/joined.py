"""The encoder-decoder whole: seq2seq/testdata."""

import io
import os
import zipfile

import numpy as np
import torch
from PIL import Image
from transformers import AutoModel, AutoModelForCausalLM, VisionEncoderDecoderConfig, VisionEncoderDecoderModel

import common
import prng
from vit import deit


def captions(name, lengths, vocabulary, seed):
    """Token sequences BOS + ids + EOS; lengths counts the ids. BOS, EOS and PAD are the last token."""
    special = vocabulary - 1
    return [np.concatenate([[special], prng.integers(f"{name}.caption.{i}", n, 0, special, seed), [special]])
            for i, n in enumerate(lengths)]


def padded(sequences):
    """labels [batch, longest] for transformers: -100 where the attention mask is 0."""
    labels = np.full((len(sequences), max(map(len, sequences))), -100, np.int64)
    for row, ids in zip(labels, sequences):
        row[:len(ids)] = ids
    return labels


def emoji(n, size):
    """n pictures of the embedded sample on white, [n, 3, size, size] in [-1, 1]."""
    out = []
    with zipfile.ZipFile(os.path.join(common.ROOT, "datasets/emoji/pictures-1.zip")) as z:
        for name in [x for x in z.namelist() if x.endswith(".png")][200::200][:n]:
            picture = Image.open(io.BytesIO(z.read(name))).convert("RGBA")
            white = Image.new("RGBA", picture.size, "white")
            picture = Image.alpha_composite(white, picture).convert("RGB").resize((size, size), Image.BILINEAR)
            out.append(np.asarray(picture, np.float32).transpose(2, 0, 1) / 127.5 - 1)
    return torch.from_numpy(np.stack(out))


def loss_of(logits, labels, **options):
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), **options)


def outputs(model, x, labels, label_smoothing=0.0):
    model.zero_grad()
    labels = torch.from_numpy(labels)
    out = model(pixel_values=x.to(model.dtype), labels=labels, use_cache=False)
    loss = out.loss
    if label_smoothing:
        loss = loss_of(out.logits, labels, label_smoothing=label_smoothing)
    loss.backward()
    results = {"encoder_states": out.encoder_last_hidden_state.flatten(0, 1), "logits": out.logits[labels != -100],
               "loss": loss}
    results |= {"grad." + name: p.grad for name, p in common.parameters(model) if p.grad is not None}
    return {name: t.detach() for name, t in results.items()}


def case(name, model, lengths, seed, stored=False, trainable="", bos_in_labels=False, x=None,
         **options):
    """trainable is a part of the names of the parameters that are trained; the others are frozen."""
    drawn = common.weights(seed)
    common.draw(model, drawn)
    for parameter_name, p in common.parameters(model):
        p.requires_grad_(trainable in parameter_name)
    config = model.config
    size = config.encoder.image_size
    if x is None:
        x = common.pixels(name, len(lengths), config.encoder.num_channels, size, size, seed)
    sequences = captions(name, lengths, config.decoder.vocab_size, seed)
    labels = padded(sequences if bos_in_labels else [ids[1:] for ids in sequences])
    shifted = model.prepare_decoder_input_ids_from_labels(torch.from_numpy(labels)).numpy()
    kept = labels != -100
    golden = {"pixel_values": x, "labels": labels, "decoder_input_ids": shifted, "input_ids": shifted[kept],
              "targets": labels[kept], "offsets": common.offsets(kept.sum(1))}
    out32, out64 = (outputs(m, x, labels, **options) for m in (model, common.double(model)))
    common.zero_vanishing_gradients(out32, out64)
    meta = {"trainable": trainable, "label_smoothing": options.get("label_smoothing", 0.0)}
    common.write(f"seq2seq/testdata/{name}", model, golden | out32, meta, None if stored else drawn, out64)


def tiny(encoder=None, **decoder_options):
    """Decoder of width 8, encoder of width 8 unless given."""
    encoder = encoder or common.vit(hidden_size=8, num_attention_heads=2, intermediate_size=20)
    return common.joined(encoder, **dict(n_embd=8, n_head=2, vocab_size=37) | decoder_options)


def with_pooler():
    """As from_pretrained makes it from a config.json: the encoder has a pooler, which nothing uses."""
    model = tiny(common.vit(hidden_size=12, num_attention_heads=2, intermediate_size=20, image_size=16, patch_size=8))
    model = VisionEncoderDecoderModel(VisionEncoderDecoderConfig.from_dict(model.config.to_dict()))
    for module in model.modules():
        if hasattr(module, "config"):
            module.config._attn_implementation = "eager"
    eos = model.config.decoder.eos_token_id
    for k in ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id"):
        setattr(model.generation_config, k, eos)
    return model


def main():
    case("joined", common.joined(), [4, 7, 2], 3)
    case("projected", tiny(common.vit(hidden_size=12, num_attention_heads=2)), [4, 7, 2], 4)
    case("crossattention_trained", tiny(), [5, 1, 3], 5, trainable="crossattention")
    case("decoder_trained", tiny(), [5, 1, 3], 6, trainable="decoder.")
    case("projection_trained", tiny(common.vit(hidden_size=12, num_attention_heads=2)), [1, 6], 7,
         trainable="enc_to_dec_proj")
    case("encoder_trained", tiny(), [5, 1, 3], 8, trainable="encoder.")
    case("smoothed", tiny(), [3, 0, 6], 9, label_smoothing=0.1)
    case("deit", tiny(deit()), [2, 4], 10)
    case("one_caption", tiny(), [0], 11)
    case("bos_in_labels", tiny(), [3, 5], 13, bos_in_labels=True)
    case("checkpoint", with_pooler(), [3, 5, 2], 12, stored=True, x=emoji(3, 16))


if __name__ == "__main__":
    main()
