"""Searches with options drawn at random, what sampling keeps, and where stop strings end: seq2seq/generate/testdata.

They supplement those of generation.py, where options come one by one. The decoder looks at drawn encoder states; there
is no encoder.
"""

import random
import sys

import torch
from transformers import GenerationConfig, LogitsProcessorList
from transformers.generation.stopping_criteria import StopStringCriteria
from transformers.modeling_outputs import BaseModelOutput

import common
import generation
import prng
import tokens

MODELS, RUNS, ITEMS, STATES, VOCABULARY = 24, 20, 3, 5, 31
STOP_VOCABULARY = 2000
CONSTRAINED = 6  # models that also search under a constraint
START = VOCABULARY - 1


def model(seed, draw):
    """A decoder and how its weights are drawn: some are sure of what they say, some are not."""
    weights = common.weights(seed, scale=draw.choice([0.2, 0.4]), embedding_scale=draw.choice([0.15, 0.3, 0.6, 1.0]))
    m = common.joined(common.vit(hidden_size=16, num_attention_heads=2, num_hidden_layers=1), n_embd=16, n_head=2,
                      n_layer=draw.choice([1, 2]), n_positions=32, vocab_size=VOCABULARY, tie_word_embeddings=draw.random() < 0.3)
    common.draw(m.decoder, weights)
    return m.eval(), weights


def sometimes(draw, share, options):
    """The options, each with a probability."""
    return {name: value() for name, value in options.items() if draw.random() < share}


def options(draw):
    """Random options, and the tokens that follow the start token."""
    tokens = lambda n: [draw.randrange(VOCABULARY - 1) for _ in range(n)]
    o = {"num_beams": draw.choice([1, 1, 2, 3, 4, 5]), "decoder_start_token_id": START, "pad_token_id": START}
    eos = draw.choice([None, START, START, [START, *tokens(1)], [START, *tokens(2)], [START, *tokens(4)]])
    if eos is not None:
        o["eos_token_id"] = eos
    if o["num_beams"] > 1:
        o |= sometimes(draw, 0.6, {
            "length_penalty": lambda: draw.choice([-0.5, 0.0, 0.4, 1.7]),
            "early_stopping": lambda: draw.choice([False, True, "never"]),
            "num_return_sequences": lambda: draw.randint(2, o["num_beams"]),
        })
    o |= sometimes(draw, 0.25, {
        "repetition_penalty": lambda: draw.choice([0.8, 1.3, 2.0]),
        "no_repeat_ngram_size": lambda: draw.choice([1, 2, 3]),
        "bad_words_ids": lambda: [tokens(draw.randint(1, 2)) for _ in range(12)] + [[START]],
        "min_length": lambda: draw.randint(3, 9),
        "min_new_tokens": lambda: draw.randint(1, 7),
        "forced_bos_token_id": lambda: tokens(1)[0],
        "forced_eos_token_id": lambda: START if eos is None else eos,
        "suppress_tokens": lambda: tokens(6),
        "begin_suppress_tokens": lambda: tokens(6),
    })
    o |= draw.choice([{}, {"max_new_tokens": draw.randint(8, 12)}, {"max_length": draw.randint(13, 18)}])
    try:
        GenerationConfig(**o)
    except ValueError:  # they contradict each other
        return options(draw)
    return o, tokens(draw.choice([0, 0, 1, 3]))


def generated(m, states, o, prefix, allowed=None):
    """Sequences without start and end token, their scores, and whether they came to an end."""
    m.generation_config = GenerationConfig(**o)
    eos = o.get("eos_token_id", [])
    eos = [eos] if isinstance(eos, int) else eos
    with torch.no_grad():
        out = m.generate(encoder_outputs=BaseModelOutput(last_hidden_state=states),
                         decoder_input_ids=torch.tensor([[START, *prefix]] * len(states)), prefix_allowed_tokens_fn=allowed,
                         return_dict_in_generate=True, output_scores=True, output_logits=True)
    rows, scores, finished = [], [], []
    for i, ids in enumerate(out.sequences[:, 1:].tolist()):
        new = ids[len(prefix):]
        end = next((k for k, t in enumerate(new) if t in eos), None)
        rows.append(ids if end is None else ids[:len(prefix) + end])
        finished.append(end is not None)
        if o["num_beams"] > 1:
            scores.append(out.sequences_scores[i].item())
        else:
            count = len(new) if end is None else end + 1
            scores.append(sum(out.logits[k][i].double().log_softmax(-1)[new[k]].item() for k in range(count)))
    return rows, scores, finished


def allowed(item, ids):
    """A constraint that depends on the item and the tokens; generate/random_test.go has the same."""
    return [t for t in range(VOCABULARY) if (7 * t + 3 * ids[-1] + 5 * item + len(ids)) % 3 != 0]


def runs(m, states, draw, allowed=None):
    """Those whose result is the same in float32, in float64 and with weights changed a little.

    A score of -1e9 is transformers' mark of a beam that there is not.
    """
    twins = [common.double(m), generation.jittered(m)]
    out = []
    for _ in range(RUNS):
        o, prefix = options(draw)
        rows, scores, finished = generated(twins[0], states.double(), o, prefix, allowed)
        others = [generated(m, states, o, prefix, allowed), generated(twins[1], states.double(), o, prefix, allowed)]
        if min(scores) > -1e8 and all((r, f) == (rows, finished) for r, _, f in others):
            out.append({"options": o, "prefix": prefix, "sequences": rows,
                        "scores": [float(f"{s:.9g}") for s in scores], "finished": finished})
    return out


def search():
    models = []
    for i in range(MODELS):
        draw = random.Random(i)
        m, weights = model(i, draw)
        states = torch.from_numpy(prng.fill("encoder_states", ITEMS * STATES * 16, 1.7, i)).reshape(ITEMS, STATES, 16)
        config = m.decoder.config
        models.append({"weights": weights, "n_layer": config.n_layer, "tied": config.tie_word_embeddings,
                       "runs": runs(m, states, draw),
                       "constrained": runs(m, states, random.Random(1000 + i), allowed) if i < CONSTRAINED else []})
        print(f"searches: model {i}: {len(models[-1]['runs'])} runs", file=sys.stderr)
    common.write_json("seq2seq/generate/testdata/random.json", {
        "vocabulary": VOCABULARY, "dim": 16, "heads": 2, "positions": 32, "items": ITEMS, "states": STATES,
        "models": models})


def kept(scores, o, eos):
    """The tokens that sampling chooses from."""
    m = common.gpt2()
    config = GenerationConfig(do_sample=True, **o)
    config.update(**config._get_default_generation_params(), defaults_only=True)
    config._eos_token_tensor = torch.tensor(range(eos))
    processors = m._get_logits_processor(config, input_ids_seq_length=1)
    return [torch.nonzero(row > -torch.inf).flatten().tolist() for row in processors(torch.tensor([[1]]), scores)]


def warpers():
    """Rows of logits, some with many equals, and which tokens are kept of each."""
    draw = random.Random(0)
    cases = []
    for i in range(160):
        size, tied = draw.choice([1, 2, 7, 64, 300]), draw.random() < 0.3
        scale = draw.choice([3.0, 9.0] if tied else [0.5, 3.0, 9.0])
        scores = torch.from_numpy(prng.fill("logits", size, scale, i))
        if tied:
            scores = scores.round()
        o = {"top_k": 0} | sometimes(draw, 0.45, {
            "temperature": lambda: draw.choice([0.5, 2.0]),
            "top_k": lambda: draw.choice([1, 2, 5, 20, 1000]),
            "top_p": lambda: draw.choice([0.0, 0.1, 0.5, 0.9, 0.999]),
            "min_p": lambda: draw.choice([0.01, 0.1, 0.5, 0.9]),
            "typical_p": lambda: draw.choice([0.1, 0.5, 0.9]),
        })
        o["num_beams"], eos = draw.choice([(1, 1), (1, 1), (3, 1), (3, 3)])
        single, double = kept(scores[None], o, eos), kept(scores[None].double(), o, eos)
        if single == double:
            cases.append({"seed": i, "size": size, "scale": scale, "rounded": tied, "options": o, "eos": eos,
                          "kept": single[0]})
    common.write_json("seq2seq/generate/testdata/warpers.json", {"cases": cases})


def stops():
    """At which lengths of random texts a stop string ends a sequence."""
    tokenizer = tokens.gpt2(STOP_VOCABULARY)
    draw = random.Random(0)
    pieces = ["a", "aa", " a", "b", "ab", "aba", ".", "..", " the", "end", " end.", "\n", "\n\n", "é", " naïve", "stop", "st", "op"]
    cases = []
    for _ in range(300):
        text = [draw.choice(pieces) for _ in range(draw.randint(2, 12))]
        ids = [STOP_VOCABULARY - 1]
        for part in [text] if draw.random() < 0.5 else [[t] for t in text]:  # as the tokenizer cuts it, or otherwise
            ids += tokenizer("".join(part), add_special_tokens=False).input_ids
        strings = ["".join(draw.choice(pieces) for _ in range(draw.randint(1, 3))) for _ in range(draw.randint(1, 2))]
        criterion = StopStringCriteria(tokenizer, strings)
        ends = [n for n in range(2, len(ids) + 1) if criterion(torch.tensor([ids[:n]]), None).item()]
        cases.append({"ids": ids, "strings": strings, "ends": ends})
    common.write_json("seq2seq/generate/testdata/stops.json", {"vocabulary": STOP_VOCABULARY, "cases": cases})
    print(f"searches: {sum(bool(c['ends']) for c in cases)} of {len(cases)} texts have a stop string", file=sys.stderr)


def main():
    stops()
    warpers()
    search()


if __name__ == "__main__":
    main()
