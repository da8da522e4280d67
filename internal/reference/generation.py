"""Greedy and beam search, and the filters of sampling: seq2seq/generate/testdata."""

import sys

import numpy as np
import torch
from transformers.generation.logits_process import (
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
)

import common
import joined
import prng

MODELS = 24
IMAGES = 3
EOS = 12  # of 13 tokens; BOS and PAD too
PLAIN = dict(do_sample=False, num_beams=1, max_new_tokens=12, length_penalty=1.0, early_stopping=False,
             num_return_sequences=1, repetition_penalty=1.0, no_repeat_ngram_size=0)

GREEDY = [
    {},
    dict(max_new_tokens=1),
    dict(max_new_tokens=19),
    dict(min_new_tokens=5),
    dict(min_length=4),
    dict(eos_token_id=[3, 8, EOS]),
    dict(pad_token_id=0),
    dict(repetition_penalty=1.5),
    dict(repetition_penalty=0.7),
    dict(no_repeat_ngram_size=1),
    dict(no_repeat_ngram_size=2),
    dict(no_repeat_ngram_size=3, max_new_tokens=19),
    dict(bad_words_ids=[[4], [7], [11, 2], [1, 5, 9], [8, 8]]),
    dict(suppress_tokens=[0, 3, 6, 9]),
    dict(begin_suppress_tokens=[EOS, 1, 2, 3, 4, 5]),
    dict(forced_bos_token_id=5),
    dict(forced_eos_token_id=EOS, max_new_tokens=6),
    dict(no_repeat_ngram_size=2, repetition_penalty=1.2, min_new_tokens=3, suppress_tokens=[2, 4]),
]
BEAMS = [
    dict(num_beams=2),
    dict(num_beams=4),
    dict(num_beams=4, early_stopping=True),
    dict(num_beams=4, early_stopping="never"),
    dict(num_beams=4, length_penalty=2.0),
    dict(num_beams=4, length_penalty=2.0, early_stopping="never"),
    dict(num_beams=4, length_penalty=0.0),
    dict(num_beams=4, length_penalty=-1.0),
    dict(num_beams=4, length_penalty=-1.0, early_stopping=True),
    dict(num_beams=3, num_return_sequences=3),
    dict(num_beams=5, num_return_sequences=2, early_stopping=True),
    dict(num_beams=4, no_repeat_ngram_size=2),
    dict(num_beams=4, repetition_penalty=1.5),
    dict(num_beams=4, bad_words_ids=[[4], [7], [11, 2], [1, 5, 9]]),
    dict(num_beams=3, min_new_tokens=6),
    dict(num_beams=3, eos_token_id=[3, EOS]),
    dict(num_beams=3, eos_token_id=[1, 3, 8, EOS], early_stopping=True, num_return_sequences=3),
    dict(num_beams=3, pad_token_id=0, num_return_sequences=3),
    dict(num_beams=3, suppress_tokens=[0, 3, 6, 9]),
    dict(num_beams=3, begin_suppress_tokens=[EOS, 1, 2]),
    dict(num_beams=3, forced_bos_token_id=5),
    dict(num_beams=3, forced_eos_token_id=EOS, max_new_tokens=6),
    dict(num_beams=11, num_return_sequences=11, max_new_tokens=19),
    dict(num_beams=4, max_new_tokens=1, num_return_sequences=4),
    dict(num_beams=4, no_repeat_ngram_size=2, length_penalty=1.3),
    dict(num_beams=2, no_repeat_ngram_size=2, repetition_penalty=1.2, min_new_tokens=3, length_penalty=0.6),
]


def tokens(sequence, eos):
    """What was generated, up to and with the EOS."""
    eos = eos if isinstance(eos, list) else [eos]
    ids = sequence[1:]
    ends = [i for i, t in enumerate(ids) if t in eos]
    return ids[:ends[0] + 1] if ends else ids


def generate(model, x, options):
    """The sequences, and their scores.

    With beams these are sequences_scores, else the sums of the log-probabilities that the model gives the tokens.
    """
    settings = dict(eos_token_id=EOS, pad_token_id=EOS) | PLAIN | options
    out = model.generate(pixel_values=x.to(model.dtype), return_dict_in_generate=True, output_scores=True,
                         output_logits=True, **settings)
    # What pads a short sequence of a batch was not generated.
    sequences = [tokens(s, settings["eos_token_id"]) for s in out.sequences.tolist()]
    if settings["num_beams"] > 1:
        return sequences, out.sequences_scores.tolist()
    steps = torch.stack(out.logits, 1).log_softmax(-1)
    return sequences, [sum(steps[i, n, t].item() for n, t in enumerate(s)) for i, s in enumerate(sequences)]


def jittered(model):
    """A float64 twin with each weight off by up to a hundred thousandth."""
    twin = common.double(model)
    with torch.no_grad():
        for name, p in common.parameters(twin):
            noise = prng.fill("noise." + name, p.numel(), 1e-5, 1).astype(np.float64)
            p.mul_(1 + torch.from_numpy(noise).reshape(p.shape))
    return twin


def search():
    """Every model with the plain searches and a share of the others, so that each option meets several models."""
    folder = "seq2seq/generate/testdata/search"
    models, runs, dropped = [], [], 0
    for i in range(MODELS):
        seed = 100 + i
        m = joined.tiny(vocab_size=EOS + 1, n_layer=1 + i % 2, tie_word_embeddings=i % 2 == 1)
        if i < 2:  # of one block and of two
            parameters = common.save_config(f"{folder}_{i + 1}_layers", m, with_weights=False)
            models.append({"folder": f"{folder}_{i + 1}_layers", "parameters": parameters})
        drawn = common.weights(seed, scale=1.0, embedding_scale=0.8)
        common.draw(m, drawn)
        x = common.pixels("pixels", IMAGES, 3, 12, 12, seed)
        exact, noisy = common.double(m), jittered(m)
        chosen = [GREEDY[0], BEAMS[1]] + GREEDY[1 + i % 3::3] + BEAMS[i % 4::4]
        for options in chosen:
            sequences, scores = generate(exact, x, options)
            if not all(generate(other, x, options)[0] == sequences for other in (m, noisy)):
                dropped += 1  # a tie, but for rounding
                continue
            runs.append({"model": i % 2, "seed": seed, "options": options, "sequences": sequences,
                         "scores": [float(f"{s:.9g}") for s in scores]})
    for i, m in enumerate(models):
        meta = {"weights": drawn | {"seed": 0}, "parameters": m["parameters"], "images": IMAGES, "defaults": PLAIN,
                "runs": [{k: v for k, v in run.items() if k != "model"} for run in runs if run["model"] == i]}
        common.write_json(m["folder"] + "/meta.json", meta)
    lengths = [len(s) for run in runs for s in run["sequences"]]
    distinct = {tuple(s) for run in runs for s in run["sequences"]}
    print(f"{len(runs)} searches, {dropped} left out for ties; {len(lengths)} sequences, {len(distinct)} distinct, "
          f"of {min(lengths)} to {max(lengths)} tokens, {np.mean(lengths):.1f} on average", file=sys.stderr)


def filtered(logits, temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, typical_p=1.0):
    """The probabilities that are drawn from, with the filters in the order of transformers' generate.

    Computed in float64; in float32 the same tokens must remain.
    """
    options = (temperature, top_k, top_p, min_p, typical_p)
    exact, rounded = (warped(torch.tensor([logits], dtype=t), *options) for t in (torch.float64, torch.float32))
    if not torch.equal(exact > -torch.inf, rounded > -torch.inf):
        raise ValueError(f"which tokens are kept of {logits[:12]} hangs on rounding errors: {options}")
    return torch.softmax(exact, -1)[0]


def warped(scores, temperature, top_k, top_p, min_p, typical_p):
    for wanted, make in [
        (temperature != 1, lambda: TemperatureLogitsWarper(temperature)),
        (top_k != 0, lambda: TopKLogitsWarper(top_k)),
        (top_p < 1, lambda: TopPLogitsWarper(top_p)),
        (min_p > 0, lambda: MinPLogitsWarper(min_p)),
        (typical_p < 1, lambda: TypicalLogitsWarper(typical_p)),
    ]:
        if wanted:
            scores = make()(None, scores)
    return scores


def sampling():
    vectors = {
        "wide": prng.fill("wide", 30, 6, 1),
        "narrow": prng.fill("narrow", 30, 0.1, 2),
        "equal": np.full(8, 0.5, np.float32),
        "ties": np.float32([1, 3, 2, 3, 3, 0, 2, 2, 1, 3, 0, -1]),
        "one": np.float32([0.3]),
        "two": np.float32([5, -5]),
        "peak": np.float32([0, 0, 100, 0]),
        "huge": np.float32([3e4, -3e4, 2.9999e4, 0]),
        "infinite": np.float32([1, -np.inf, 2, -np.inf, 0.5, 1.5]),
    }
    options = [
        {}, dict(temperature=0.5), dict(temperature=2.0), dict(temperature=0.01), dict(top_k=1), dict(top_k=3),
        dict(top_k=5), dict(top_k=1000), dict(top_p=0.9), dict(top_p=0.5), dict(top_p=0.1), dict(top_p=1e-6),
        dict(top_p=0.999999), dict(top_k=5, top_p=0.6), dict(temperature=0.7, top_k=4, top_p=0.8),
        dict(temperature=3.0, top_p=0.4), dict(temperature=1.5, top_k=6), dict(min_p=0.1),
        dict(temperature=1.3, top_k=10, top_p=0.95, min_p=0.05), dict(typical_p=0.6), dict(top_k=6, typical_p=0.9),
    ]

    def number(v):
        return float(f"{v:.9g}") if np.isfinite(v) else None

    cases = []
    for name, logits in vectors.items():
        for o in options:
            p = filtered(logits.tolist(), **o)
            cases.append({"logits": name, "options": o, "probabilities": [number(v) for v in p.tolist()]})
    full = prng.fill("full", 50257, 12, 3)
    p = filtered(full.tolist(), temperature=0.8, top_k=1000, top_p=0.95)
    kept = torch.nonzero(p)[:, 0]
    out = {"logits": {k: [number(v) for v in x.tolist()] for k, x in vectors.items()}, "cases": cases,
           "full": {"options": dict(temperature=0.8, top_k=1000, top_p=0.95), "kept": kept.tolist(),
                    "probabilities": [number(v) for v in p[kept].tolist()]}}
    common.write_json("seq2seq/generate/testdata/sampling.json", out)
    print(f"{len(cases)} filters, {len(kept)} of 50257 kept", file=sys.stderr)


def main():
    search()
    sampling()


if __name__ == "__main__":
    main()
