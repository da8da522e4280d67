"""GPT-2 with cross-attentions that transformers does not have, written here in plain PyTorch: seq2seq/gpt2/testdata.

    gated        the result times tanh(gate), Alayrac et al., 2022 (arXiv:2204.14198)
    layer_scale  each column of the result times a number, Touvron et al., 2021 (arXiv:2103.17239)
    qk_norm      each head of queries and keys divided by its root mean square, the queries times a gain for each head,
                 after Henry et al., 2020 (arXiv:2010.04245)
"""

import torch
from torch import nn

import common
import gpt2


class CrossAttention(nn.Module):
    """Takes the place of GPT2Attention in a block; its own parameters have the names of that class."""

    def __init__(self, plain, variants):
        super().__init__()
        self.c_attn, self.q_attn, self.c_proj = plain.c_attn, plain.q_attn, plain.c_proj
        self.heads, self.scaling = plain.num_heads, plain.scaling
        width = plain.embed_dim
        if "gated" in variants:
            self.gate = nn.Parameter(torch.zeros(1))
        if "layer_scale" in variants:
            self.layer_scale = nn.Parameter(torch.full((width,), 0.1))
        if "qk_norm" in variants:
            self.qk_gain = nn.Parameter(torch.ones(self.heads))

    def split(self, x):
        """[batch, rows, width] to [batch, heads, rows, width/heads]."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, hidden_states, past_key_values=None, attention_mask=None, encoder_hidden_states=None,
                encoder_attention_mask=None, output_attentions=False, **kwargs):
        q = self.split(self.q_attn(hidden_states))
        k, v = map(self.split, self.c_attn(encoder_hidden_states).chunk(2, dim=-1))
        if hasattr(self, "qk_gain"):
            q = q * torch.rsqrt(q.square().mean(-1, keepdim=True) + 1e-6) * self.qk_gain[:, None, None]
            k = k * torch.rsqrt(k.square().mean(-1, keepdim=True) + 1e-6)
        weights = torch.softmax(q @ k.transpose(-1, -2) * self.scaling, dim=-1)
        out = self.c_proj((weights @ v).transpose(1, 2).flatten(2))
        if hasattr(self, "gate"):
            out = out * torch.tanh(self.gate)
        if hasattr(self, "layer_scale"):
            out = out * self.layer_scale
        return out, weights


def model(variants, **options):
    m = gpt2.tiny(n_layer=2, add_cross_attention=True, **options)
    m.config.cross_attention_type = variants
    for block in m.transformer.h:
        block.crossattention = CrossAttention(block.crossattention, variants.split("+"))
    return m


def main():
    for i, variants in enumerate(["gated", "layer_scale", "qk_norm", "qk_norm+gated", "qk_norm+layer_scale"]):
        gpt2.case("crossattention_" + variants.replace("+", "_"), model(variants), 60 + i, gradients=True)
    gpt2.case("crossattention_qk_norm_inverse_layer", model("qk_norm", scale_attn_by_inverse_layer_idx=True), 65)


if __name__ == "__main__":
    main()
