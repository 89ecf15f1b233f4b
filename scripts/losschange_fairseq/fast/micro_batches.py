"""Join the micro-batches of an update into fewer and larger passes.

The paper's update is 16 micro-batches of 2,048 tokens, too few tokens to keep a large GPU busy.
The joined samples give the same update. The samples of a language model are equally long. The
batches of a translation model hold sentences of similar length; batches of similar length are
joined, so that little padding is added.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

# Lengths are padded to a multiple of this number, so that few different shapes occur.
MULTIPLE = 8
# Share of the free memory that one pass may fill; vectors of a matrix's width kept beside it.
SHARE, KEPT = 0.6, 2
# With more padding than this share, one pass fewer is no faster. The paper's 16 micro-batches of
# translations become 4 passes.
PADDING = 0.25


def join_samples(
    samples: Sequence[Mapping], number: int, padding: int, left: bool = False
) -> list[Mapping]:
    """Join the samples of an update into at most `number` samples.

    Parameters
    ----------
    samples : sequence of fairseq samples
        Samples of one update; returned unchanged if there are at most `number`.
    number : int
    padding : int
        Index of the padding symbol.
    left : bool
        Whether the source of a translation is padded on the left.
    """
    if len(samples) <= number or not all(samples):
        return list(samples)
    return [_join(group, padding, left) for group in _group(_ordered(samples), number)]


def passes_for(model, samples: Sequence[Mapping]) -> int:
    """The smallest number of passes of an update that fits in memory and adds little padding.

    On a CPU the number stays fairseq's: larger passes are no faster there.

    Parameters
    ----------
    model : fairseq model
    samples : sequence of fairseq samples
    """
    parameter = next(model.parameters())
    if not parameter.is_cuda:
        return len(samples)
    # Memory cached by the allocator counts as free.
    free = torch.cuda.mem_get_info()[0]
    free += torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    number = passes_worth_their_padding(samples)
    while number < len(samples):
        largest = max(places_of(group) for group in _group(_ordered(samples), number))
        if passes_that_fit(largest, bytes_per_token(model), free) == 1:
            break
        number += 1
    return number


def passes_worth_their_padding(samples: Sequence[Mapping]) -> int:
    """The fewest passes in which at most a share PADDING of all positions is added padding."""
    fewest = sum(places_of([sample]) for sample in samples)
    for number in range(1, len(samples)):
        if sum(map(places_of, _group(_ordered(samples), number))) * (1 - PADDING) <= fewest:
            return number
    return len(samples)


def places_of(samples: Sequence[Mapping]) -> int:
    """Number of positions, padding included, of samples joined into one."""
    rows = sum(len(sample["target"]) for sample in samples)
    return rows * sum(max(lengths) for lengths in zip(*map(_lengths, samples), strict=True))


def passes_that_fit(tokens: int, size: int, free: int) -> int:
    """Passes needed for `tokens` tokens of `size` bytes each when `free` bytes are free."""
    return max(1, -(-tokens * size // int(free * SHARE)))


def bytes_per_token(model) -> int:
    """Bytes per token that the backward pass needs: a conservative estimate.

    Parameters
    ----------
    model : fairseq model
    """
    # Inputs and outputs of all matrices, layer norms and residual branches are stored.
    matrices = [p.shape for p in model.parameters() if p.dim() == 2]
    numbers = sum(KEPT * min(shape) + sum(shape) for shape in matrices)
    return numbers * next(model.parameters()).element_size()


def _lengths(sample: Mapping) -> tuple[int, int]:
    return sample["net_input"]["src_tokens"].shape[1], sample["target"].shape[1]


def _ordered(samples: Sequence[Mapping]) -> list[Mapping]:
    return sorted(samples, key=lambda sample: (sum(_lengths(sample)), _lengths(sample)))


def _group(samples: list[Mapping], number: int) -> list[list[Mapping]]:
    """Split the sorted samples into `number` groups of neighbours with the fewest positions."""
    count = len(samples)
    places: dict[tuple[int, int], int] = {}
    for first in range(count):
        rows, source, target = 0, 0, 0
        for end, sample in enumerate(samples[first:], first + 1):
            lengths = _lengths(sample)
            rows += len(sample["target"])
            source, target = max(source, lengths[0]), max(target, lengths[1])
            places[first, end] = rows * (source + target)
    # best[k][end]: (positions of the first `end` samples in k groups, start of the last group)
    best: list[list[tuple[float, int]]] = [[(0.0, 0)] + [(float("inf"), 0)] * count]
    for _ in range(number):
        before = best[-1]
        best.append(
            [(float("inf"), 0)]
            + [
                min((before[first][0] + places[first, end], first) for first in range(end))
                for end in range(1, count + 1)
            ]
        )
    groups, end = [], count
    for k in range(number, 0, -1):
        first = best[k][end][1]
        groups.append(samples[first:end])
        end = first
    return groups[::-1]


def _join(samples: Sequence[Mapping], padding: int, left: bool, name: str = "") -> Mapping:
    if len(samples) == 1:
        return samples[0]
    first = samples[0]
    if isinstance(first, Mapping):
        return {key: _join([s[key] for s in samples], padding, left, key) for key in first}
    if isinstance(first, list):
        return [number for one in samples for number in one]
    if not isinstance(first, Tensor) or first.dim() == 0:
        # The numbers of sentences and of tokens.
        return sum(samples)
    if first.dim() == 1:
        return torch.cat(list(samples))
    width = max(tensor.shape[1] for tensor in samples)
    if any(tensor.shape[1] < width for tensor in samples):
        width = -(-width // MULTIPLE) * MULTIPLE
    at_left = left and name == "src_tokens"
    padded = []
    for tensor in samples:
        missing = width - tensor.shape[1]
        sides = (missing, 0) if at_left else (0, missing)
        padded.append(functional.pad(tensor, sides, value=padding) if missing else tensor)
    return torch.cat(padded)
