"""A captioner of full size with drawn weights, and what it computes: for the one who wants to know.

    python fidelity.py DIR                              writes ViT-B/16 with distilGPT2 and golden numbers, 2 GB
    go test ./seq2seq -run Checkpoint -args -case DIR   compares
"""

import os
import sys

from transformers import GPT2Config, GPT2LMHeadModel, ViTConfig, ViTModel

import common
import joined
import tokens


def main(folder):
    encoder = ViTModel(ViTConfig(attn_implementation="eager"), add_pooling_layer=False)
    decoder = GPT2LMHeadModel(GPT2Config(n_layer=6, add_cross_attention=True, is_decoder=True, resid_pdrop=0,
                                         embd_pdrop=0, attn_pdrop=0, attn_implementation="eager"))
    model = joined.with_pooler(common.join(encoder, decoder))
    common.draw(model, common.weights(1, scale=0.06, embedding_scale=0.15))
    joined.checkpoint(folder, model, tokens.gpt2(), 224,
                      [dict(num_beams=1, max_new_tokens=16), dict(num_beams=4, max_new_tokens=16)])


if __name__ == "__main__":
    if len(sys.argv) != 2 or not os.path.isabs(sys.argv[1]):
        sys.exit("usage: fidelity.py /ABSOLUTE/DIR")
    main(sys.argv[1])
