import pytest

from occrobnet_jax.parallel.chips import CHIPS, chip_of


def test_a_device_is_found_by_the_name_that_jax_gives_it():
    h100, a100 = chip_of("NVIDIA H100 80GB HBM3"), chip_of("NVIDIA A100-SXM4-40GB")
    assert h100.peak_flop_per_s("bfloat16") == 989.4e12
    assert a100.peak_flop_per_s("float32") == 156e12  # TF32
    assert chip_of("TPU v5 lite") is chip_of("TPU v5e")
    assert chip_of("TPU v5 lite").peak_flop_per_s("float32") == 197e12  # one pass of bfloat16


@pytest.mark.parametrize("name", ["cpu", "NVIDIA A100-SXM4-40GB MIG 1g.5gb", "NVIDIA GeForce RTX 4090 Laptop GPU", ""])
def test_parts_of_chips_and_unknown_ones_have_no_peak(name):
    assert chip_of(name) is None


def test_no_name_stands_for_two_chips():
    names = [name for chip in CHIPS for name in chip.kinds]
    assert len(names) == len(set(names))
