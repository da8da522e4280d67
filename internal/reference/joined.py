"""The encoder-decoder whole: seq2seq/testdata."""

import io
import json
import zipfile

import numpy as np
import torch
from PIL import Image
from transformers import ViTImageProcessorPil, VisionEncoderDecoderConfig, VisionEncoderDecoderModel

import common
import prng
import tokens
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


def emoji():
    """Three pictures of the embedded sample on white, with their first captions."""
    pictures, captions = [], []
    with open("datasets/emoji/captions.jsonl") as f:
        lines = [json.loads(line) for line in f]
    with zipfile.ZipFile("datasets/emoji/pictures-1.zip") as z:
        for line in lines[200:800:200]:
            picture = Image.open(io.BytesIO(z.read(line["image"]))).convert("RGBA")
            white = Image.new("RGBA", picture.size, "white")
            pictures.append(Image.alpha_composite(white, picture).convert("RGB"))
            captions.append(line["captions"][0])
    return pictures, captions


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


def compare(folder, model, x, sequences, drawn, meta=None, **options):
    """Writes the case of some pixels and label sequences. Without drawn the weights are stored."""
    labels = padded(sequences)
    shifted = model.prepare_decoder_input_ids_from_labels(torch.from_numpy(labels)).numpy()
    kept = labels != -100
    golden = {"pixel_values": x, "labels": labels, "decoder_input_ids": shifted, "input_ids": shifted[kept],
              "targets": labels[kept], "offsets": common.offsets(kept.sum(1))}
    out32, out64 = (outputs(m, x, labels, **options) for m in (model, common.double(model)))
    common.zero_vanishing_gradients(out32, out64)
    common.write(folder, model, golden | out32, meta, drawn, out64)


def case(name, model, lengths, seed, trainable="", bos_in_labels=False, **options):
    """trainable is a part of the names of the parameters that are trained; the others are frozen."""
    drawn = common.weights(seed)
    common.draw(model, drawn)
    for parameter_name, p in common.parameters(model):
        p.requires_grad_(trainable in parameter_name)
    config = model.config
    size = config.encoder.image_size
    x = common.pixels(name, len(lengths), config.encoder.num_channels, size, size, seed)
    sequences = captions(name, lengths, config.decoder.vocab_size, seed)
    meta = {"trainable": trainable, "label_smoothing": options.get("label_smoothing", 0.0)}
    compare(f"seq2seq/testdata/{name}", model, x, sequences if bos_in_labels else [ids[1:] for ids in sequences], drawn, meta, **options)


def tiny(encoder=None, **decoder_options):
    """Decoder of width 8, encoder of width 8 unless given."""
    encoder = encoder or common.vit(hidden_size=8, num_attention_heads=2, intermediate_size=20)
    return common.joined(encoder, **dict(n_embd=8, n_head=2, vocab_size=37) | decoder_options)


def with_pooler(model):
    """The model as from_pretrained makes it of its config.json: the encoder has a pooler, which nothing uses."""
    out = VisionEncoderDecoderModel(VisionEncoderDecoderConfig.from_dict(model.config.to_dict()))
    for module in out.modules():
        if hasattr(module, "config"):
            module.config._attn_implementation = "eager"
    out.generation_config = model.generation_config
    return out


def say(model, x, tokenizer, options):
    """The captions of some searches, each {"options", "sequences", "captions"}."""
    said = []
    for o in options:
        ids, exact = (m.generate(x.to(m.dtype), do_sample=False, **o) for m in (model, common.double(model)))
        if not torch.equal(ids, exact):
            raise ValueError(f"a caption hangs on rounding errors: {ids}, {exact}")
        said.append({"options": o, "sequences": ids.tolist(),
                     "captions": tokenizer.batch_decode(ids, skip_special_tokens=True)})
    return said


def checkpoint(folder, model, tokenizer, size, searches):
    """Writes a captioner with all its files and true pictures, and what it says of them."""
    pictures, texts = emoji()
    processor = ViTImageProcessorPil(size={"height": size, "width": size})
    x = processor(pictures, return_tensors="pt").pixel_values
    sequences = [np.array(tokenizer(text).input_ids + [tokenizer.eos_token_id]) for text in texts]
    compare(folder, model, x, sequences, None, {"captions": texts, "said": say(model, x, tokenizer, searches)})
    for what in (tokenizer, processor):
        what.save_pretrained(folder)
    for i, picture in enumerate(pictures):
        picture.save(f"{folder}/picture-{i}.png", optimize=True)


def small_checkpoint():
    tokenizer = tokens.gpt2(300)
    encoder = common.vit(hidden_size=12, num_attention_heads=2, intermediate_size=20, image_size=16, patch_size=8)
    model = with_pooler(tiny(encoder, vocab_size=len(tokenizer), n_positions=48))
    common.draw(model, common.weights(15, scale=0.8, embedding_scale=0.8))
    checkpoint("seq2seq/testdata/checkpoint", model, tokenizer, 16,
               [dict(num_beams=1, max_new_tokens=12), dict(num_beams=4, no_repeat_ngram_size=2, max_new_tokens=12)])


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
    small_checkpoint()


if __name__ == "__main__":
    main()
