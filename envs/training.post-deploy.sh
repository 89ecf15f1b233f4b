#!/usr/bin/env bash
# fairseq is compiled whole, against the torch that is there and without the CUDA
# sources that its archive lacks. Made by tools/make_environments.py from
# requirements.lock.
set -euo pipefail
unset CUDA_HOME
python -m pip install --no-build-isolation --no-deps fairseq-fixed==0.12.3.1
