"""Bytes between a chip and its main memory, counted by hand in a small program of the TPU compiler's form."""

from tools.tpu.memory_traffic import bytes_moved

HEAD = "HloModule jit_step, num_partitions=1\n\n"
FUSED = """
%fused (x: f32[10]) -> f32[10] {
  %x = f32[10]{0} parameter(0)
  ROOT %inside = f32[10]{0} add(%x, %x)
}
"""
ENTRY = """
ENTRY %main.1 (p: f32[10]) -> f32[10] {{
  %p = f32[10]{{0}} parameter(0)
  %q = bf16[4,10]{{1,0}} parameter(1)
  %near = f32[10]{{0:S(1)}} fusion(%p), kind=kLoop, calls=%fused
{}
}}
"""


def moved_by(*lines: str) -> int:
    """What the lines move beyond the 40 bytes that `near` reads."""
    entry = ENTRY.format("\n".join(f"  {line}" for line in lines))
    return bytes_moved(HEAD + FUSED + entry) - 40


def test_operands_and_results_count_and_the_inside_of_fusions_does_not():
    assert moved_by("%y = f32[10]{0} fusion(%p, %q), kind=kLoop, calls=%fused") == 40 + 80 + 40


def test_memory_on_the_chip_is_free():
    assert moved_by("%y = f32[10]{0:S(1)} fusion(%near), kind=kLoop, calls=%fused") == 0
    assert moved_by("%y = f32[10]{0} fusion(%near), kind=kLoop, calls=%fused") == 40


def test_a_slice_reads_what_it_takes():
    fetched = "%s = ((bf16[4,10]{1,0}), bf16[1,10]{1,0:S(1)}, s32[]{:S(2)}) slice-start(%q), slice={[0:1], [0:10]}"
    assert moved_by(fetched, "%t = bf16[1,10]{1,0:S(1)} slice-done(%s)") == 20
    assert moved_by("%s = bf16[1,10]{1,0} slice(%q), slice={[0:1], [0:10]}") == 20 + 20


def test_copies_count_where_they_read_or_write_main_memory():
    pair = "(f32[10]{0}, f32[10]{0:S(1)}, u32[]{:S(2)})"
    assert moved_by(f"%c = {pair} copy-start(%near)", "%d = f32[10]{0} copy-done(%c)") == 40


def test_the_body_of_a_loop_counts_as_often_as_it_runs():
    body = """
%body (state: f32[10]) -> f32[10] {
  %state = f32[10]{0} parameter(0)
  ROOT %next = f32[10]{0} negate(%state)
}
"""
    line = '  %loop = f32[10]{0} while(%p), condition=%c, body=%body, backend_config={"known_trip_count":{"n":"7"}}'
    assert bytes_moved(HEAD + FUSED + body + ENTRY.format(line)) - 40 == 7 * 80
