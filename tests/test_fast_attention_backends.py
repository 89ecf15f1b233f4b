"""The attention kernels of PyTorch that may run: none that builds a plan for every length."""

import pytest
import torch
from torch.nn import functional

from losschange_fairseq.fast import attention
from losschange_fairseq.fast.attention import without_plans
from training_runs import in_process

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("ignore")]

allowed = torch.backends.cuda.cudnn_sdp_enabled


@pytest.mark.parametrize(("objective", "asked"), [("clm", True), ("mlm", True), ("mt", False)])
def test_cudnn_is_asked_only_where_all_lengths_are_one(
    objective, asked, tokens, tmp_path, monkeypatch
):
    """PyTorch keeps these switches without a GPU as well."""
    seen, stock = [], functional.scaled_dot_product_attention

    def remember(*inputs, **options):
        seen.append(allowed())
        return stock(*inputs, **options)

    monkeypatch.setattr(attention, "suits", lambda *_: False)
    monkeypatch.setattr(functional, "scaled_dot_product_attention", remember)
    run = in_process(tmp_path, objective, tokens, total_updates=6, fast_layers=True)
    assert allowed()
    run.run(lambda update, numbers: None, lambda: False)
    assert len(seen) > 8 and set(seen) == {asked}
    assert allowed()


@pytest.mark.parametrize("before", [True, False])
def test_what_was_allowed_before_is_allowed_after(before):
    torch.backends.cuda.enable_cudnn_sdp(before)
    try:
        with without_plans(False):
            assert allowed() is before
        with pytest.raises(RuntimeError), without_plans(True):
            assert not allowed()
            raise RuntimeError
        assert allowed() is before
    finally:
        torch.backends.cuda.enable_cudnn_sdp(True)
