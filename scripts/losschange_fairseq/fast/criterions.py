"""fairseq's criterions, with the output layer and the cross-entropy computed together."""

from dataclasses import dataclass, field

from fairseq.criterions import register_criterion
from fairseq.criterions.cross_entropy import CrossEntropyCriterion, CrossEntropyCriterionConfig
from fairseq.criterions.masked_lm import MaskedLmConfig, MaskedLmLoss
from torch import Tensor

from .cross_entropy import linear_cross_entropy


@dataclass
class ChunkedCrossEntropyConfig(CrossEntropyCriterionConfig):
    """Options of `chunked_cross_entropy`."""

    compile_chunks: bool = field(
        default=False, metadata={"help": "put the work on a chunk through torch.compile"}
    )


@dataclass
class ChunkedMaskedLmConfig(MaskedLmConfig):
    """Options of `chunked_masked_lm`."""

    compile_chunks: bool = field(
        default=False, metadata={"help": "put the work on a chunk through torch.compile"}
    )


@register_criterion("chunked_cross_entropy", dataclass=ChunkedCrossEntropyConfig)
class ChunkedCrossEntropy(CrossEntropyCriterion):
    """fairseq's cross_entropy: the same sums, without a float32 copy of the logits."""

    def __init__(self, task, sentence_avg, compile_chunks):
        super().__init__(task, sentence_avg)
        self._compiled = compile_chunks

    def forward(self, model, sample, reduce=True):
        """Loss (nats, summed over target words), sample size, and what fairseq logs."""
        features = model(**sample["net_input"], features_only=True)[0]
        # Nothing is predicted in the prefixes of a prefix language model.
        first = min(sample["net_input"].get("prefix_lengths", (0,)))
        features, target = features[:, first:], sample["target"][:, first:]
        layer = _unwrapped(model).decoder.output_projection
        rows, words = features.flatten(0, -2), target.flatten()
        loss = linear_cross_entropy(
            rows, layer.weight, layer.bias, words, self.padding_idx, self._compiled
        )
        size = target.size(0) if self.sentence_avg else sample["ntokens"]
        return loss, size, _logged(loss, sample, target.size(0), size)


@register_criterion("chunked_masked_lm", dataclass=ChunkedMaskedLmConfig)
class ChunkedMaskedLm(MaskedLmLoss):
    """fairseq's masked_lm: the same sums, without a float32 copy of the logits."""

    def __init__(self, cfg: ChunkedMaskedLmConfig, task):
        super().__init__(cfg, task)
        self._compiled = cfg.compile_chunks

    def forward(self, model, sample, reduce=True):
        """Loss (nats, summed over masked words), sample size, and what fairseq logs."""
        target = sample["target"]
        masked = target.ne(self.padding_idx)
        features = model(**sample["net_input"], features_only=True)[0]
        head = _unwrapped(model).encoder.lm_head
        x = head.layer_norm(head.activation_fn(head.dense(features[masked])))
        loss = linear_cross_entropy(
            x, head.weight, head.bias, target[masked], self.padding_idx, self._compiled
        )
        size = masked.int().sum()
        return loss, size, _logged(loss, sample, sample["nsentences"], size)


def _unwrapped(model):
    while hasattr(model, "module"):
        model = model.module
    return model


def _logged(loss: Tensor, sample, sentences: int, size) -> dict:
    return {
        "loss": loss.data,
        "ntokens": sample["ntokens"],
        "nsentences": sentences,
        "sample_size": size,
    }
