"""Build fairseq's configuration, task and trainer from the arguments of fairseq-train."""

from __future__ import annotations

import argparse
import logging

import numpy as np
from fairseq import options, tasks, utils
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.logging import metrics
from fairseq.trainer import Trainer


def build_trainer(arguments: list[str]):
    """Build what fairseq-train builds from its arguments.

    Parameters
    ----------
    arguments : list of str
        Arguments of fairseq-train, --user-dir among them.

    Returns
    -------
    (configuration, task, fairseq.trainer.Trainer)
    """
    parser = options.get_training_parser()
    # The plug-in must be imported first: it registers the tasks that the parser accepts.
    user_dir = arguments[arguments.index("--user-dir") + 1]
    utils.import_user_module(argparse.Namespace(user_dir=user_dir))
    cfg = convert_namespace_to_omegaconf(options.parse_args_and_arch(parser, arguments))
    logging.getLogger("fairseq").setLevel(logging.WARNING)
    metrics.reset()
    np.random.seed(cfg.common.seed)
    utils.set_torch_seed(cfg.common.seed)
    task = tasks.setup_task(cfg.task)
    model = task.build_model(cfg.model)
    criterion = task.build_criterion(cfg.criterion)
    task.load_dataset("valid", combine=False, epoch=1)
    return cfg, task, Trainer(cfg, task, model, criterion)
