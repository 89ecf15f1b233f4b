"""Contradictions and open points in the paper, and how this reproduction resolves them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Oddity:
    """One contradiction or open point.

    Attributes
    ----------
    title : str
    section : str
        Section of the paper.
    paper, here : str
        The paper's statement in our words, and this reproduction's interpretation, with ``code``
        marks.
    """

    title: str
    section: str
    paper: str
    here: str


ODDITIES = (
    Oddity(
        "Two names for the feed-forward matrices",
        "§2.1, eq. 3; §4.2",
        "They are numbered 1 and 2 in the equation and 0 and 1 where training is followed over "
        "time.",
        "The same two matrices are meant: ``W1`` and ``W2`` here, ``fc1`` and ``fc2`` in fairseq.",
    ),
    Oddity(
        "Where cross-attention takes its input from",
        "§2.1",
        "Keys and queries are said to come from the encoder, values from the module's own input.",
        "In the Transformer, and in what is trained here, queries come from the decoder; keys and "
        "values come from the encoder.",
    ),
    Oddity(
        "Runge-Kutta named, first order defined",
        "§2.3",
        "A Runge-Kutta integrator is cited, but the equation is a first-order step with the "
        "gradient at the start of the update.",
        "The equation is followed (estimator ``batch``).",
    ),
    Oddity(
        "What the sign of LCA depends on",
        "§2.3",
        "LCA is said to be negative when the parameter's component of the gradient is.",
        "It is the product of that component and the parameter's move that is negative: a "
        "parameter with a positive gradient helps by moving down.",
    ),
    Oddity(
        "Parts that sum to the loss change",
        "§2.3",
        "The sum over all parameters is taken to be the change of the loss.",
        "To first order, and for the gradient of one batch, this holds for the loss of that batch "
        "at best. This report compares the sum with the measured change (conservation).",
    ),
    Oddity(
        "Number of updates",
        "§4.4; Table 1; Table 2",
        "The plan is 125,000 updates and every model has 48 hours, but how many were made is not "
        "said. Update 2,673 of the translation model is within the first 3 %, so it made at least "
        "89,100; the masked language model has a positive value at update 59,727, so it made at "
        "least as many.",
        "``total_updates`` are made, 125,000 unless configured otherwise.",
    ),
    Oddity(
        "Concave",
        "§4.1; §4.5",
        "Profiles over depth are called concave whose ends are large and whose middle is small.",
        "That is the shape of the contribution's magnitude as the figures show it; as a curve it "
        "would be called convex.",
    ),
    Oddity(
        "Unit of the largest positive LCA",
        "§4.4; Table 1",
        "68.18 and 95 are printed without a unit, while nats are announced. Per token they would "
        "exceed the whole loss: guessing among 32,000 tokens costs ln 32,000 = 10.4 nats.",
        "Table 1 gives the value per token, summed over tokens, and each with the loss scale of "
        "half precision.",
    ),
    Oddity(
        "Language of the main language models",
        "§3; Appendix B.1",
        "The main experiments use English-German, language models the target side of their corpus "
        "(German), and English ones the source side of the same corpus.",
        "``main_models`` decides; English is the default.",
    ),
    Oddity(
        "Attention with and without its output projection",
        "§4.1; §4.2",
        "Four matrices make up the attention block in one section, three in the next.",
        "Figure 2 adds up key, query and value, as the text around it says. Table 1 and Figure 1 "
        "have the output projection as well.",
    ),
    Oddity(
        "Self-attention or both attentions",
        "Figure 1; Table 1",
        "A decoder layer of a translation model has two attentions. Which of them the components "
        "are, or whether both, is not said.",
        "Self-attention; cross-attention is recorded apart and has rows of its own in Table 1.",
    ),
    Oddity(
        "Comparable architectures",
        "§2.1; Appendix A",
        "One set of hyper-parameters is given for all objectives. fairseq's stock models for them "
        "differ all the same: the causal model normalises before each block, the others after it, "
        "and the masked model has learned positions.",
        "The stock models with the paper's table on top; ``norm`` sets the place of "
        "normalisation for all, so that objective and architecture can be told apart.",
    ),
    Oddity(
        "Tokens per sample",
        "Table 2",
        "Two limits are listed, 512 and 2,048 tokens per sample.",
        "The second is read as fairseq's ``--max-tokens``, the size of a micro-batch, of which 16 "
        "make up an update.",
    ),
    Oddity(
        "Which sentences",
        "§3; Table 3",
        "Neither the cleaning of the text, nor the choice of the held-out sentences, nor how 5 M "
        "pairs were drawn from WMT-2018 is described.",
        "``cleaning`` drops what is no sentence pair; splits and the 5 M are drawn by seed.",
    ),
)
