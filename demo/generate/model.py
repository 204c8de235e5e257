"""The tiny Llama: RMSNorm, rotary positions (rotate-half order), grouped-query attention, SwiGLU, tied output."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass(frozen=True)
class Config:
    vocab: int = 1536
    n_embd: int = 192
    n_layer: int = 4
    n_head: int = 6
    n_head_kv: int = 3
    n_ff: int = 512
    n_ctx: int = 512
    rope_base: float = 10000.0
    eps: float = 1e-5

    @property
    def head_dim(self) -> int:
        return self.n_embd // self.n_head


class Norm(nn.Module):
    def __init__(self, width: int, eps: float):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


def rotate(x, cos, sin):
    """Rotary positions; element j of the first half turns with element j of the second half."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)


class Layer(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.c = c
        linear = lambda i, o: nn.Linear(i, o, bias=False)
        self.attn_norm, self.ffn_norm = Norm(c.n_embd, c.eps), Norm(c.n_embd, c.eps)
        self.attn_q, self.attn_output = linear(c.n_embd, c.n_embd), linear(c.n_embd, c.n_embd)
        self.attn_k = linear(c.n_embd, c.n_head_kv * c.head_dim)
        self.attn_v = linear(c.n_embd, c.n_head_kv * c.head_dim)
        self.ffn_gate, self.ffn_up = linear(c.n_embd, c.n_ff), linear(c.n_embd, c.n_ff)
        self.ffn_down = linear(c.n_ff, c.n_embd)

    def forward(self, x, cos, sin):
        b, t, _ = x.shape
        h = self.attn_norm(x)
        q, k, v = (
            f(h).view(b, t, -1, self.c.head_dim).transpose(1, 2) for f in (self.attn_q, self.attn_k, self.attn_v)
        )
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        groups = self.c.n_head // self.c.n_head_kv
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(b, t, -1)
        x = x + self.attn_output(a)
        h = self.ffn_norm(x)
        return x + self.ffn_down(F.silu(self.ffn_gate(h)) * self.ffn_up(h))


class Llama(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.c = c
        self.token_embd = nn.Embedding(c.vocab, c.n_embd)
        self.blk = nn.ModuleList(Layer(c) for _ in range(c.n_layer))
        self.output_norm = Norm(c.n_embd, c.eps)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                scale = 0.02 / (2 * c.n_layer) ** 0.5 if "output" in name or "down" in name else 0.02
                nn.init.normal_(p, std=scale)
        half = torch.arange(0, c.head_dim, 2).float() / c.head_dim
        angle = torch.outer(torch.arange(c.n_ctx).float(), c.rope_base**-half)
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)

    def hidden(self, ids):
        """[batch, tokens] -> normalised last hidden states [batch, tokens, n_embd]."""
        x = self.token_embd(ids)
        cos, sin = self.cos[: ids.shape[1]], self.sin[: ids.shape[1]]
        for layer in self.blk:
            x = layer(x, cos, sin)
        return self.output_norm(x)

    def forward(self, ids):
        return self.hidden(ids) @ self.token_embd.weight.T

    @torch.no_grad()
    def generate(self, prompts, limit, eos, generator, temperature=1.0):
        """Samples a continuation for each list of ids, all of them with one length of prompt."""
        ids = torch.tensor(prompts)
        done = torch.zeros(len(prompts), dtype=torch.bool)
        start = ids.shape[1]
        for _ in range(limit):
            logits = self.forward(ids)[:, -1] / temperature
            new = torch.multinomial(logits.softmax(-1), 1, generator=generator)
            new[done] = eos
            ids = torch.cat((ids, new), 1)
            done |= new[:, 0] == eos
            if done.all():
                break
        out = []
        for row in ids[:, start:].tolist():
            out.append(row[: row.index(eos)] if eos in row else row)
        return out
