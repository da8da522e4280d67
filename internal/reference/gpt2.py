"""GPT-2 language models, with and without cross-attention: seq2seq/gpt2/testdata."""

import copy

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

import common
import prng
from vit import ACTIVATIONS

LENGTHS = [5, 1, 9, 3]
PATCHES = [4, 7, 1, 2]  # encoder rows that each sequence looks at
STRIDE = 61  # of the vocabulary entries that are kept of a full vocabulary


def run(model, ids, starts, states, state_starts):
    """One sequence at a time, so that nothing is padded; the results are packed."""
    hidden, logits = [], []
    for i in range(len(starts) - 1):
        rows = torch.from_numpy(ids[starts[i]:starts[i + 1]])[None]
        seen = None
        if states is not None:
            seen = torch.from_numpy(states[state_starts[i]:state_starts[i + 1]]).to(model.dtype)[None]
        out = model(input_ids=rows, encoder_hidden_states=seen, output_hidden_states=True, use_cache=False)
        hidden.append(out.hidden_states)
        logits.append(out.logits[0])
    return [torch.cat([h[i][0] for h in hidden]) for i in range(len(hidden[0]))], torch.cat(logits)


def outputs(model, ids, starts, states, state_starts, targets):
    model.zero_grad()
    hidden, logits = run(model, ids, starts, states, state_starts)
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(targets))
    loss.backward()
    out = {f"hidden_states.{i}": h for i, h in enumerate(hidden)} | {"logits": logits, "loss": loss}
    out |= {"grad." + name: p.grad for name, p in common.parameters(model)}
    return {name: t.detach() for name, t in out.items()}


def attentions(model, ids, starts, states, state_starts):
    """What each sequence looked at in each block, [heads·tokens, source rows]; eager attention alone tells."""
    model = copy.deepcopy(model).double()
    named = {}
    for s in range(len(starts) - 1):
        rows = torch.from_numpy(ids[starts[s]:starts[s + 1]])[None]
        seen = torch.from_numpy(states[state_starts[s]:state_starts[s + 1]]).double()[None]
        out = model(input_ids=rows, encoder_hidden_states=seen, output_attentions=True, use_cache=False)
        for i, a in enumerate(out.cross_attentions):
            named[f"cross_attentions.{s}.{i}"] = a[0].flatten(0, 1).detach()
    return named


def language_model_loss(model, ids, starts):
    """The loss of transformers, which shifts the labels itself, over a padded batch of the sequences."""
    sequences = [torch.from_numpy(ids[a:b]) for a, b in zip(starts, starts[1:])]
    ids, labels = (torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True, padding_value=v) for v in (0, -100))
    return common.double(model)(input_ids=ids, labels=labels, attention_mask=(labels != -100).long()).loss.item()


def sampled(out):
    """Of a full vocabulary every STRIDE-th logit and row of its gradient."""
    out = dict(out)
    out[f"logits.every{STRIDE}"] = out.pop("logits")[:, ::STRIDE]
    out[f"grad.every{STRIDE}"] = out.pop("grad.transformer.wte.weight")[::STRIDE]
    return out


def case(name, model, seed, gradients=False, stored=False, embedding_scale=1.0, lengths=LENGTHS, keep=None,
         looks=False, language_model=False):
    config = model.config
    drawn = common.weights(seed, embedding_scale=embedding_scale)
    common.draw(model, drawn)
    starts = common.offsets(lengths)
    ids = prng.integers(name + ".input_ids", starts[-1], 0, config.vocab_size, seed)
    targets = prng.integers(name + ".targets", starts[-1], 0, config.vocab_size, seed)
    targets[-2] = -100
    golden = {"input_ids": ids, "offsets": starts, "targets": targets}
    states = state_starts = None
    if config.add_cross_attention:
        state_starts = common.offsets(PATCHES)
        states = prng.fill(name + ".encoder_states", state_starts[-1] * config.n_embd, 1.7, seed)
        states = states.reshape(-1, config.n_embd)
        golden |= {"encoder_states": states, "encoder_offsets": state_starts}
    out32, out64 = (outputs(m, ids, starts, states, state_starts, targets) for m in (model, common.double(model)))
    common.zero_vanishing_gradients(out32, out64)
    if not gradients:
        out32, out64 = ({k: v for k, v in out.items() if not k.startswith("grad.")} for out in (out32, out64))
    if keep:
        out32, out64 = keep(out32), keep(out64)
    if looks:
        out64 |= (probabilities := attentions(model, ids, starts, states, state_starts))
        out32 |= {k: v.float() for k, v in probabilities.items()}
    meta = {"language_model_loss": language_model_loss(model, ids, starts)} if language_model else None
    common.write(f"seq2seq/gpt2/testdata/{name}", model, golden | out32, meta, None if stored else drawn, out64)


def tiny(**options):
    return common.gpt2(**dict(n_embd=8, n_head=2, n_layer=1, vocab_size=37) | options)


def bare(name):
    """Rewrites a checkpoint as the hub's gpt2 has it: no "transformer." before the names, and the mask buffers."""
    path = f"seq2seq/gpt2/testdata/{name}/model.safetensors"
    tensors = {k.removeprefix("transformer."): v for k, v in load_file(path).items()}
    for i in range(sum(k.endswith("ln_1.bias") for k in tensors)):
        tensors[f"h.{i}.attn.bias"] = np.tril(np.ones((1, 1, 20, 20), np.float32))
        tensors[f"h.{i}.attn.masked_bias"] = np.full((), -1e4, np.float32)
    save_file(tensors, path, metadata={"format": "pt"})


def classifier(name):
    """Adds to a checkpoint the head of GPT2ForSequenceClassification."""
    path = f"seq2seq/gpt2/testdata/{name}/model.safetensors"
    tensors = load_file(path)
    save_file(tensors | {"score.weight": np.ones((2, 8), np.float32)}, path, metadata={"format": "pt"})


def main():
    case("plain", common.gpt2(), 1, gradients=True)
    case("crossattention", common.gpt2(add_cross_attention=True), 2, gradients=True, looks=True)
    case("language_model", tiny(), 12, lengths=[5, 2, 9, 3], language_model=True)
    case("inner", common.gpt2(n_inner=30), 3)
    case("inverse_layer", tiny(n_layer=3, scale_attn_by_inverse_layer_idx=True, add_cross_attention=True), 4,
         gradients=True)
    case("unscaled", tiny(n_layer=2, scale_attn_weights=False, add_cross_attention=True), 5, gradients=True)
    case("unscaled_inverse_layer", tiny(n_layer=2, scale_attn_weights=False, scale_attn_by_inverse_layer_idx=True), 6)
    case("upcast", tiny(n_layer=2, reorder_and_upcast_attn=True, add_cross_attention=True), 7)
    case("epsilon", tiny(layer_norm_epsilon=0.1, add_cross_attention=True), 8)
    case("untied", tiny(tie_word_embeddings=False), 9, gradients=True)
    case("one_head", tiny(n_head=1), 10)
    case("heads_of_one", tiny(n_head=8), 11)
    for i, name in enumerate(ACTIVATIONS):
        case("activation_" + name, tiny(activation_function=name), 20 + i)
    case("full_vocabulary", tiny(vocab_size=50257), 40, gradients=True, embedding_scale=2.0, lengths=[3, 2],
         keep=sampled)
    case("checkpoint", tiny(n_layer=2), 50, stored=True)
    case("checkpoint_bare", tiny(n_layer=2), 51, stored=True)
    bare("checkpoint_bare")
    case("checkpoint_of_classifier", tiny(), 52, stored=True)
    classifier("checkpoint_of_classifier")


if __name__ == "__main__":
    main()
