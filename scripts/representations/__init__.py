"""Measures of representation spaces: arrays in, arrays out.

States are arrays (words, dimensions), of any origin. The library knows neither fairseq nor
Snakemake, and only `huggingface` needs PyTorch.

Read in this order: `words` (pieces to words, which of them are compared), `states` and `sources`
(where states come from), `resampling` (floors and intervals, the same for all); one space:
`isotropy`, `contextuality`, `information`, `neighbours`; two spaces: `rsa`, `cka`, `pwcca`,
`procrustes`, and `covariances` for states that never lie in memory together; layer to layer:
`change`, `influence`; training: `over_training`; all at once: `description`, `comparison`.
"""
