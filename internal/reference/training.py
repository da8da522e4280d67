"""Fifty steps of training: seq2seq/train/testdata."""

import numpy as np
import torch
import transformers

import common
import joined

STEPS, BATCH, PICTURES = 50, 2, 8
DEFAULTS = dict(optim="adamw", learning_rate=2e-3, weight_decay=0.01, lr_scheduler_type="constant", warmup_steps=0,
                max_grad_norm=0.0, gradient_accumulation_steps=1, label_smoothing_factor=0.0)
CASES = {
    "adamw": {},
    "adamw_clipped": dict(max_grad_norm=0.5),
    "adamw_linear": dict(lr_scheduler_type="linear", warmup_steps=7),
    "adamw_cosine": dict(lr_scheduler_type="cosine", warmup_steps=10, learning_rate=5e-3, max_grad_norm=1.0),
    "adamw_warmed_up": dict(warmup_steps=20),
    "adamw_decayed": dict(weight_decay=0.5),
    "adamw_accumulated": dict(gradient_accumulation_steps=2, max_grad_norm=1.0),
    "adamw_accumulated_with_rest": dict(gradient_accumulation_steps=3),
    "adamw_smoothed": dict(label_smoothing_factor=0.1),
    "adam": dict(optim="adam", weight_decay=0.0),
    "adam_decayed": dict(optim="adam", weight_decay=0.02, max_grad_norm=1.0),
    "sgd": dict(optim="sgd", learning_rate=0.05, weight_decay=0.0),
    "sgd_clipped": dict(optim="sgd", learning_rate=0.3, weight_decay=1e-3, max_grad_norm=0.3),
    "decoder": dict(trainable="decoder", max_grad_norm=1.0),
    "crossattention_and_projection": dict(trainable="crossattention,enc_to_dec_proj", encoder_width=12),
    "all": dict(trainable="encoder,decoder", max_grad_norm=1.0),
    "all_sgd": dict(trainable="encoder,decoder", optim="sgd", learning_rate=0.05, weight_decay=1e-3),
    "all_smoothed": dict(trainable="encoder,decoder,enc_to_dec_proj", encoder_width=12, label_smoothing_factor=0.1,
                         lr_scheduler_type="cosine", warmup_steps=5),
}


def optimizer(params, options):
    make = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "sgd": torch.optim.SGD}[options["optim"]]
    return make(params, lr=options["learning_rate"], weight_decay=options["weight_decay"], foreach=False)


def scheduler(opt, options):
    name = options["lr_scheduler_type"]
    if name == "constant" and options["warmup_steps"]:
        name = "constant_with_warmup"
    return transformers.get_scheduler(name, opt, num_warmup_steps=options["warmup_steps"], num_training_steps=STEPS)


def updates(x, sequences, parts):
    """Yields the batches of each update, forever; an epoch's last update may have fewer."""
    batches = [(x[i:i + BATCH], joined.padded([ids[1:] for ids in sequences[i:i + BATCH]]))
               for i in range(0, len(sequences), BATCH)]
    while True:
        for i in range(0, len(batches), parts):
            yield batches[i:i + parts]


def train(model, x, sequences, options):
    """Returns loss, gradient norm and learning rate of each step, and the final weights."""
    patterns = options["trainable"].split(",")
    for name, p in common.parameters(model):
        p.requires_grad_(any(pattern in name.split(".") for pattern in patterns))
    trained = {name: p for name, p in common.parameters(model) if p.requires_grad}
    opt = optimizer(list(trained.values()), options)
    schedule = scheduler(opt, options)
    history = []
    for _, parts in zip(range(STEPS), updates(x, sequences, options["gradient_accumulation_steps"])):
        opt.zero_grad()
        tokens, total = sum(int((labels != -100).sum()) for _, labels in parts), 0.0
        for pictures, labels in parts:
            labels = torch.from_numpy(labels)
            logits = model(pixel_values=pictures.to(model.dtype), labels=labels, use_cache=False).logits
            loss = joined.loss_of(logits, labels, reduction="sum",
                                  label_smoothing=options["label_smoothing_factor"]) / tokens
            loss.backward()
            total += loss.item()
        norm = torch.nn.utils.clip_grad_norm_(trained.values(), options["max_grad_norm"] or float("inf"), foreach=False)
        history.append((total, norm.item(), opt.param_groups[0]["lr"]))
        opt.step()
        schedule.step()
    return np.array(history).T, {name: p.detach() for name, p in trained.items()}


def floor(runs, exact):
    """For each step the largest relative distance of a float32 run so far; at least half a unit in the last place."""
    distance = np.max([np.abs(run / exact - 1) for run in runs], axis=0)
    return [float(f"{d:.2e}") for d in np.maximum.accumulate(np.maximum(distance, 2**-24))]


def model(seed, encoder_width):
    encoder = common.vit(hidden_size=encoder_width, num_attention_heads=2, intermediate_size=20)
    m = joined.tiny(encoder)
    drawn = common.weights(seed, scale=0.3, embedding_scale=0.5)
    return common.draw(m, drawn), drawn


def case(name, seed, encoder_width=8, trainable="crossattention", **options):
    options = DEFAULTS | options | {"trainable": trainable}
    m, drawn = model(seed, encoder_width)
    x = common.pixels("training", PICTURES, 3, 12, 12, seed)
    sequences = joined.captions("training", [3, 7, 1, 5, 4, 2, 6, 3], m.config.decoder.vocab_size, seed)
    folder = f"seq2seq/train/testdata/{name}"
    parameters = common.save_config(folder, m, with_weights=False)

    fused = common.copy.deepcopy(m)
    common.fuse(fused)
    exact, weights64 = train(common.double(m), x, sequences, options)
    runs = [train(model, x, sequences, options) for model in (m, fused)]
    history = {}
    for row, what in enumerate(["loss", "grad_norm"]):
        history[what] = exact[row].tolist()
        history[what + "_floor"] = floor([run[0][row] for run in runs], exact[row])
    history["learning_rate"] = exact[2].tolist()

    # What is left out has no gradient but rounding errors, which Adam makes steps of: the biases of keys.
    final32, final64 = {}, {}
    for key, w in weights64.items():
        if not key.endswith(("c_attn.bias", "key.bias")):
            final32["final." + key], final64["final." + key] = runs[0][1][key], w
    meta = {"weights": drawn, "parameters": parameters, "options": options | {"max_steps": STEPS}, "batch_size": BATCH,
            "history": history}
    integers = {f"caption.{i}": ids for i, ids in enumerate(sequences)}
    common.save(folder, {"pixel_values": x} | integers | final32, final64, meta)
    print(f"  loss {exact[0][0]:.3f} -> {exact[0][-1]:.3f}, floors {history['loss_floor'][-1]:.1e} and "
          f"{history['grad_norm_floor'][-1]:.1e}", file=common.sys.stderr)


def main():
    for i, (name, options) in enumerate(CASES.items()):
        case(name, 60 + i, **options)


if __name__ == "__main__":
    main()
