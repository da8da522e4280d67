"""The encoder-decoder whole: seq2seq/testdata."""

import numpy as np
import torch

import common
import prng


def captions(name, lengths, vocabulary, seed):
    """labels [batch, longest] as the recipe makes them, and the mask: BOS + ids + EOS, -100 behind.

    lengths counts the ids between BOS and EOS. BOS, EOS and PAD are the last token.
    """
    special = vocabulary - 1
    labels = np.full((len(lengths), max(lengths) + 2), -100, np.int64)
    for i, n in enumerate(lengths):
        ids = prng.integers(f"{name}.caption.{i}", n, 0, special, seed)
        labels[i, :n + 2] = np.concatenate([[special], ids, [special]])
    return labels


def outputs(model, x, labels, label_smoothing=0.0):
    model.zero_grad()
    labels = torch.from_numpy(labels)
    out = model(pixel_values=x.to(model.dtype), labels=labels, use_cache=False)
    loss = out.loss
    if label_smoothing:
        loss = torch.nn.functional.cross_entropy(out.logits.flatten(0, 1), labels.flatten(),
                                                 label_smoothing=label_smoothing)
    loss.backward()
    kept = labels != -100
    results = {"encoder_states": out.encoder_last_hidden_state.flatten(0, 1), "logits": out.logits[kept],
               "loss": loss}
    results |= {"grad." + name: p.grad for name, p in common.parameters(model) if p.grad is not None}
    return {name: t.detach() for name, t in results.items()}


def case(name, model, lengths, seed, stored=False, **options):
    drawn = common.weights(seed)
    common.draw(model, drawn)
    config = model.config
    size = config.encoder.image_size
    x = common.pixels(name, len(lengths), config.encoder.num_channels, size, size, seed)
    labels = captions(name, lengths, config.decoder.vocab_size, seed)
    shifted = model.prepare_decoder_input_ids_from_labels(torch.from_numpy(labels)).numpy()
    kept = labels != -100
    golden = {"pixel_values": x, "labels": labels, "decoder_input_ids": shifted, "input_ids": shifted[kept],
              "targets": labels[kept], "offsets": common.offsets(kept.sum(1))}
    out32, out64 = (outputs(m, x, labels, **options) for m in (model, common.double(model)))
    common.zero_vanishing_gradients(out32, out64)
    common.write(f"seq2seq/testdata/{name}", model, golden | out32, None, None if stored else drawn, out64)


def main():
    case("joined", common.joined(), [4, 7, 2], 3)


if __name__ == "__main__":
    main()
