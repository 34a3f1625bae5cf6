"""Scores of records under one convention, read in small chunks as a large file is."""

from occrobnet_jax.evaluation.formats.records import Records, Setting, in_chunks
from occrobnet_jax.evaluation.metrics.protocols.conventions import Convention, Extras
from occrobnet_jax.evaluation.metrics.scores import Result, score_all

CHUNK = 3


def result_of(records: Records, setting: Setting, convention: Convention, extras: Extras) -> Result:
    (result,), _ = score_all(in_chunks([records], CHUNK), setting, [convention], extras)
    return result
