"""GPT-2 language models, with and without cross-attention: seq2seq/gpt2/testdata."""

import numpy as np
import torch

import common
import prng

LENGTHS = [5, 1, 9, 3]
PATCHES = [4, 7, 1, 2]  # encoder rows that each sequence looks at


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


def case(name, model, seed, gradients=True):
    config = model.config
    drawn = common.weights(seed)
    common.draw(model, drawn)
    starts = common.offsets(LENGTHS)
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
    out32, out64 = (outputs(m, ids, starts, states, state_starts, targets)
                    for m in (model, common.double(model)))
    common.zero_vanishing_gradients(out32, out64)
    if not gradients:
        out32, out64 = ({k: v for k, v in out.items() if not k.startswith("grad.")} for out in (out32, out64))
    common.write(f"seq2seq/gpt2/testdata/{name}", model, golden | out32, None, drawn, out64)


def main():
    case("plain", common.gpt2(), 1)
    case("crossattention", common.gpt2(add_cross_attention=True), 2)


if __name__ == "__main__":
    main()
