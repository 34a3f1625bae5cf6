import os
import signal

from occrobnet_jax.parallel.preemption import Preemption


def test_sigterm_is_noted_within_the_block_and_does_again_what_it_did_after_it():
    before = signal.getsignal(signal.SIGTERM)
    with Preemption() as preemption:
        assert not preemption.is_due()
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)  # schedulers send it to the whole group, and parents pass it on
        assert preemption.is_due()
    assert signal.getsignal(signal.SIGTERM) == before
