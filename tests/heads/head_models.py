"""Small Transformers in plain PyTorch with explicit attention, as model handles."""

from __future__ import annotations

import torch
from torch import nn

from attention_heads.alpha_beta import AttentionBlock, LayerParts
from attention_heads.handle import Attention, OutProjection, Tokens, gate_heads
from attention_heads.losses import cross_entropy

PAD, END = 0, 1


class HeadAttention(nn.Module):
    def __init__(self, width, heads, bias):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (
            nn.Linear(width, width, bias=bias) for _ in range(4)
        )

    def forward(self, x, memory, allowed, gate, frozen):
        def split(y):
            return y.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        query, key, value = (
            split(p(y)) for p, y in ((self.query, x), (self.key, memory), (self.value, memory))
        )
        scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
        weights = scores.masked_fill(~allowed, -1e9).softmax(-1)
        if frozen:
            weights = weights.detach()
        mixed = (weights @ value).transpose(1, 2).flatten(2)
        return self.out(mixed if gate is None else gate_heads(mixed, gate)), weights


class Norm(nn.LayerNorm):
    def forward(self, x, frozen=False):
        if not frozen:
            return super().forward(x)
        deviation = (x.detach().var(-1, unbiased=False, keepdim=True) + self.eps).sqrt()
        y = (x - x.mean(-1, keepdim=True)) / deviation * self.weight
        return y if self.bias is None else y + self.bias


class Layer(nn.Module):
    """Attentions and a feed-forward network; norm is "pre", "post" or None."""

    def __init__(self, names, width, heads, norm, bias):
        super().__init__()
        self.norm = norm
        self.attentions = nn.ModuleDict({name: HeadAttention(width, heads, bias) for name in names})
        self.norms = nn.ModuleDict({n: Norm(width, bias=bias) for n in names} if norm else {})
        self.first = nn.Linear(width, 2 * width, bias=bias)
        self.second = nn.Linear(2 * width, width, bias=bias)
        self.last = Norm(width, bias=bias) if norm else None

    def add(self, x, norm, block, frozen):
        if norm is None:
            return x + block(x)
        if self.norm == "pre":
            return x + block(norm(x, frozen))
        return norm(x + block(x), frozen)

    def forward(self, x, memory, allowed, gates, frozen, weights):
        for name, attention in self.attentions.items():

            def attend(y, name=name, attention=attention):
                gate = (gates or {}).get(name)
                keys = memory if name == "cross" else y
                mixed, seen = attention(y, keys, allowed[name], gate, frozen)
                if weights is not None:
                    weights[name] = seen
                return mixed

            x = self.add(x, self.norms[name] if self.norm else None, attend, frozen)
        return self.add(x, self.last, lambda y: self.second(self.first(y).relu()), frozen)


class TinyHandle:
    """A causal language model, or with encoder layers a translation model."""

    def __init__(
        self, words=11, width=16, heads=4, layers=2, encoder=0, norm="pre", bias=True, seed=0,
        length=24,
    ):  # fmt: skip
        torch.manual_seed(seed)
        upper = ["decoder", "cross"] if encoder else ["decoder"]
        self.stages = [{"encoder": layer} for layer in range(encoder)]
        self.stages += [dict.fromkeys(upper, layer) for layer in range(layers)]
        self.attentions = {"decoder": Attention("decoder", layers, heads, "target", "target", True)}
        if encoder:
            lower = Attention("encoder", encoder, heads, "source", "source")
            cross = Attention("cross", layers, heads, "target", "source")
            self.attentions = {"encoder": lower, **self.attentions, "cross": cross}
        self.norm, self.encoder = norm, encoder
        self.module = nn.ModuleDict(
            {
                "words": nn.Embedding(words, width),
                "positions": nn.Embedding(length, width),
                "layers": nn.ModuleList(
                    [Layer(list(stage), width, heads, norm, bias) for stage in self.stages]
                ),
                "output": nn.Linear(width, words, bias=bias),
            }
        )
        if norm == "pre":
            self.module["encoder_norm"] = Norm(width, bias=bias)
            self.module["decoder_norm"] = Norm(width, bias=bias)

    def tokens(self, batch):
        return {
            side: Tokens(ids, ids != PAD, (ids != PAD) & (ids != END))
            for side, ids in batch.items()
            if side != "targets"
        }

    def start(self, batch):
        state = {"targets": batch["targets"]}
        for side, about in self.tokens(batch).items():
            positions = torch.arange(about.ids.shape[1])
            state[side] = self.module["words"](about.ids) + self.module["positions"](positions)
            state[f"{side}_seen"] = about.present
        return state

    def step(self, stage, state, gates=None, frozen=False, weights=None):
        below = stage < self.encoder
        side = "source" if below else "target"
        seen = {name: state[f"{name}_seen"][:, None, None] for name in ("source", "target")
                if name in state}  # fmt: skip
        allowed = {"encoder": seen.get("source"), "cross": seen.get("source")}
        if not below:
            length = state["target"].shape[1]
            allowed["decoder"] = seen["target"] & torch.ones(length, length).tril().bool()
        layer = self.module["layers"][stage]
        x = layer(state[side], state.get("source"), allowed, gates, frozen, weights)
        if self.norm == "pre" and stage == self.encoder - 1:
            x = self.module["encoder_norm"](x, frozen)
        return {**state, side: x}

    def finish(self, state, frozen=False):
        x = state["target"]
        x = self.module["decoder_norm"](x, frozen) if self.norm == "pre" else x
        return cross_entropy(self.module["output"](x), state["targets"])

    def finish_losses(self, state):
        return self.finish(state).losses

    def block(self, attention, layer):
        stage = next(n for n, each in enumerate(self.stages) if each.get(attention) == layer)
        return self.module["layers"][stage].attentions[attention]

    def out_projection(self, attention, layer):
        return OutProjection(self.block(attention, layer).out.weight)

    def head_weights(self, attention, layer):
        block = self.block(attention, layer)
        found = {
            name: getattr(block, name).weight.detach() for name in ("query", "key", "value", "out")
        }
        found["out"] = found["out"].T
        return {name: each.unflatten(0, (block.heads, -1)) for name, each in found.items()}

    def parts(self, stage):
        layer = self.module["layers"][stage]
        below = stage < self.encoder
        return LayerParts(
            "source" if below else "target",
            [
                AttentionBlock(
                    name, block.value, block.out, layer.norms[name] if self.norm else None,
                    "source" if name == "cross" else None,
                )  # fmt: skip
                for name, block in layer.attentions.items()
            ],
            layer.first, layer.second, torch.relu, layer.last, self.norm == "pre",
            self.module["encoder_norm"]
            if self.norm == "pre" and stage == self.encoder - 1 else None,
        )  # fmt: skip

    def finish_parts(self):
        norm = self.module["decoder_norm"] if self.norm == "pre" else None
        return "target", norm, self.module["output"]


def random_batch(sentences=3, length=7, words=11, translation=False, seed=0, padded=True):
    """Sentences that end in END, all but the first shortened and padded."""
    generator = torch.Generator().manual_seed(seed)

    def text(longest):
        ids = torch.randint(2, words, (sentences, longest), generator=generator)
        for row in range(sentences):
            end = longest - 1 - (row % 3 if padded else 0)
            ids[row, end], ids[row, end + 1 :] = END, PAD
        return ids

    target = text(length)
    following = torch.full_like(target, -1)
    following[:, :-1] = target[:, 1:].where(target[:, 1:] != PAD, -1)
    batch = {"target": target, "targets": following}
    return {"source": text(length + 2), **batch} if translation else batch


# Where the one useful head of `planted` is.
USEFUL_LAYER, USEFUL_HEAD = 1, 2
_WORDS, _LENGTH = 8, 8


def planted(noise=0.02, seed=3):
    """A model whose head 2 of layer 1 alone copies the previous word to the output.

    Width 32: dimensions 0-7 hold the word, 8-15 the position, 16-23 what the output reads. All
    other weights are noise.
    """
    handle = TinyHandle(_WORDS, 32, 4, 2, norm=None, bias=False, seed=seed, length=_LENGTH)
    with torch.no_grad():
        for parameter in handle.module.parameters():
            parameter.copy_(torch.randn_like(parameter) * noise)
        eye = torch.eye(8)
        handle.module["words"].weight.zero_()[:, :8] = eye
        handle.module["positions"].weight.zero_()[:, 8:16] = eye
        block = handle.module["layers"][USEFUL_LAYER].attentions["decoder"]
        rows = slice(8 * USEFUL_HEAD, 8 * USEFUL_HEAD + 8)
        for projection in (block.query, block.key, block.value):
            projection.weight[rows] = 0.0
        # The query of position p asks for the key of position p - 1.
        block.query.weight[rows, 8:16] = 30 * torch.diag(torch.ones(7), 1)
        block.key.weight[rows, 8:16] = eye
        block.value.weight[rows, :8] = eye
        block.out.weight[:, rows] = 0.0
        block.out.weight[16:24, rows] = eye
        handle.module["output"].weight.zero_()[:, 16:24] = 6 * eye
    return handle


def copying_batches(number=3, sentences=8, seed=5):
    """Random words; the target is the word before."""
    generator = torch.Generator().manual_seed(seed)
    batches = []
    for _ in range(number):
        ids = torch.randint(2, _WORDS, (sentences, _LENGTH), generator=generator)
        targets = torch.cat([torch.full((sentences, 1), -1), ids[:, :-1]], 1)
        batches.append({"target": ids, "targets": targets})
    return batches


def with_identical_heads(seed=0, layers=2):
    """A random language model of two layers; in the first ones all heads have the same weights."""
    handle = TinyHandle(seed=seed)
    with torch.no_grad():
        for layer in handle.module["layers"][:layers]:
            block = layer.attentions["decoder"]
            for projection in (block.query, block.key, block.value):
                projection.weight.copy_(projection.weight[:4].repeat(4, 1))
                projection.bias.copy_(projection.bias[:4].repeat(4))
            block.out.weight.copy_(block.out.weight[:, :4].repeat(1, 4))
    return handle
