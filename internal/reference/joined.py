"""The encoder-decoder whole: seq2seq/testdata."""

import collections
import io
import json
import os
import shutil
import zipfile

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import load_file
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


def outputs(model, x, labels, of, label_smoothing=0.0):
    model.zero_grad()
    labels = torch.from_numpy(labels)
    encoded = model.encoder(pixel_values=x.to(model.dtype))[0]
    out = model(encoder_outputs=(encoded[of],), labels=labels, use_cache=False)
    loss = out.loss
    if label_smoothing:
        loss = loss_of(out.logits, labels, label_smoothing=label_smoothing)
    loss.backward()
    results = {"encoder_states": encoded.flatten(0, 1), "logits": out.logits[labels != -100],
               "loss": loss}
    results |= {"grad." + name: p.grad for name, p in common.parameters(model) if p.grad is not None}
    return {name: t.detach() for name, t in results.items()}


def compare(folder, model, x, sequences, drawn, meta=None, of=None, **options):
    """Writes the case of some pixels and label sequences. Without drawn the weights are stored.

    of says which picture each sequence describes; else there is one for each.
    """
    of = np.arange(len(sequences)) if of is None else np.array(of)
    labels = padded(sequences)
    shifted = model.prepare_decoder_input_ids_from_labels(torch.from_numpy(labels)).numpy()
    kept = labels != -100
    golden = {"pixel_values": x, "labels": labels, "decoder_input_ids": shifted, "input_ids": shifted[kept],
              "targets": labels[kept], "offsets": common.offsets(kept.sum(1)), "of": of}
    out32, out64 = (outputs(m, x, labels, of, **options) for m in (model, common.double(model)))
    common.zero_vanishing_gradients(out32, out64)
    common.write(folder, model, golden | out32, meta, drawn, out64)


def case(name, model, lengths, seed, trainable="", bos_in_labels=False, of=None, **options):
    """trainable is a part of the names of the parameters that are trained; the others are frozen."""
    drawn = common.weights(seed)
    common.draw(model, drawn)
    for parameter_name, p in common.parameters(model):
        p.requires_grad_(trainable in parameter_name)
    config = model.config
    size = config.encoder.image_size
    x = common.pixels(name, max(of) + 1 if of else len(lengths), config.encoder.num_channels, size, size, seed)
    sequences = captions(name, lengths, config.decoder.vocab_size, seed)
    meta = {"trainable": trainable, "label_smoothing": options.get("label_smoothing", 0.0)}
    compare(f"seq2seq/testdata/{name}", model, x, sequences if bos_in_labels else [ids[1:] for ids in sequences], drawn, meta, of,
            **options)


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


def old_checkpoint(source, folder):
    """The captioner of a folder as transformers 4.15 saved it, in 2022: the same weights, other files.

    The weights are a pickle with mask buffers and the tied head among them, the configurations have every field there
    was, the picture size is one number, and there is no generation_config.json and no tokenizer.json.
    """
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    state = {name: torch.from_numpy(x) for name, x in load_file(f"{source}/model.safetensors").items()}
    config = json.load(open(f"{source}/config.json"))
    decoder, encoder = config["decoder"], config["encoder"]
    n = decoder["n_positions"]
    for i in range(decoder["n_layer"]):
        for part in ("attn", "crossattention"):
            prefix = f"decoder.transformer.h.{i}.{part}."
            state[prefix + "bias"] = torch.ones(n, n, dtype=torch.uint8).tril().view(1, 1, n, n)
            state[prefix + "masked_bias"] = torch.tensor(-1e4)
    state["decoder.lm_head.weight"] = state["decoder.transformer.wte.weight"]
    torch.save(collections.OrderedDict(state), f"{folder}/pytorch_model.bin")

    then = dict(add_cross_attention=False, bad_words_ids=None, chunk_size_feed_forward=0, do_sample=False,
                early_stopping=False, finetuning_task=None, id2label={"0": "LABEL_0", "1": "LABEL_1"},
                is_decoder=False, is_encoder_decoder=False, label2id={"LABEL_0": 0, "LABEL_1": 1}, length_penalty=1.0,
                max_length=20, min_length=0, no_repeat_ngram_size=0, num_beams=1, num_return_sequences=1,
                output_attentions=False, output_hidden_states=False, prefix=None, problem_type=None,
                repetition_penalty=1.0, return_dict=True, task_specific_params=None, temperature=1.0,
                tie_encoder_decoder=False, top_k=50, top_p=1.0, torch_dtype=None, torchscript=False,
                transformers_version="4.15.0", use_bfloat16=False)
    for name in ("qkv_bias", "encoder_stride", "pooler_act", "pooler_output_size"):
        del encoder[name]
    del decoder["reorder_and_upcast_attn"], decoder["scale_attn_by_inverse_layer_idx"]
    del config["dtype"]
    config["encoder"] = then | encoder | {"architectures": ["ViTModel"]}
    config["decoder"] = then | decoder | {"architectures": ["GPT2LMHeadModel"], "n_ctx": n, "gradient_checkpointing": False,
                                          "decoder_start_token_id": decoder["bos_token_id"]}
    config |= {"torch_dtype": "float32", "transformers_version": None}
    save = {"config.json": config}

    special = dict.fromkeys(["bos_token", "eos_token", "unk_token", "pad_token"], "<|endoftext|>")
    save["special_tokens_map.json"] = special
    save["tokenizer_config.json"] = special | dict(add_prefix_space=False, model_max_length=n, name_or_path="gpt2",
                                                   special_tokens_map_file=None, tokenizer_class="GPT2Tokenizer")
    bpe = json.load(open(f"{source}/tokenizer.json"))["model"]
    save["vocab.json"] = bpe["vocab"]
    with open(f"{folder}/merges.txt", "w") as f:
        f.write("#version: 0.2\n" + "".join(" ".join(pair) + "\n" for pair in bpe["merges"]))
    now = json.load(open(f"{source}/preprocessor_config.json"))
    save["preprocessor_config.json"] = dict(do_normalize=True, do_resize=True, image_mean=now["image_mean"],
                                            feature_extractor_type="ViTFeatureExtractor", image_std=now["image_std"],
                                            resample=2, size=now["size"]["height"])
    for name, value in save.items():
        with open(f"{folder}/{name}", "w") as f:
            json.dump(value, f, indent=2, sort_keys=name == "config.json")

    model, info = VisionEncoderDecoderModel.from_pretrained(folder, output_loading_info=True)
    if info["missing_keys"] or info["mismatched_keys"] or not all("masked_bias" in k for k in info["unexpected_keys"]):
        raise ValueError(f"transformers cannot load {folder}: {info}")
    for name, p in common.parameters(model):
        if not torch.equal(p, state[name]):
            raise ValueError(f"transformers loads {name} otherwise")


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
    case("shared_pictures", tiny(), [2, 5, 1, 3, 4], 14, of=[1, 0, 1, 2, 1])
    case("shared_pictures_projected", tiny(common.vit(hidden_size=12, num_attention_heads=2)), [3, 1, 2], 16, of=[0, 1, 0])
    small_checkpoint()
    old_checkpoint("seq2seq/testdata/checkpoint", "seq2seq/testdata/checkpoint_of_2022")


if __name__ == "__main__":
    main()
