"""The benchmarks on a GPU, as far as a CPU can say: bfloat16, one device for all tensors, peak memory of each side."""

from types import SimpleNamespace

import jax
import pytest

from occrobnet_jax.runs.experiment import Experiment, LossConfig
from tests.support.fake_batches import fake_batch
from tests.support.tiny import tiny_model

pytest.importorskip("torch", reason="PyTorch is not part of the environment: make testtorch")

import torch

from benchmarks import networks, torch_device
from benchmarks.torch_mirror.keypoints import greedy_peaks
from benchmarks.torch_mirror.losses import losses
from benchmarks.torch_mirror.occrobnet import OccRobNet
from benchmarks.torch_mirror.targets import torch_batch

SIZE_PX = 64
MODEL = tiny_model(backbone="resnet50", stem="7x7", heatmap_stride=2, ciet_stride=8, left_object_translation=True)


def test_pytorch_computes_where_jax_does(monkeypatch):
    assert (torch_device.torch_device().type, torch_device.compute_dtype()) == ("cpu", "float32")
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert (torch_device.torch_device().type, torch_device.compute_dtype()) == ("cuda", "bfloat16")


def test_all_tensors_of_a_step_are_on_its_device():
    """The device "meta" computes shapes only, and refuses tensors of another device."""
    batch = torch_batch(fake_batch(MODEL, SIZE_PX, count=3), "meta")
    network = OccRobNet(MODEL, SIZE_PX).to("meta").train()
    terms = losses(network(batch.image), batch, MODEL, LossConfig())
    sum(terms.values()).backward()
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert {tensor.device.type for tensor in (*terms.values(), *gradients)} == {"meta"}


def test_keypoints_are_the_same_without_the_early_end_of_their_search(monkeypatch):
    """On a GPU the search takes all of its rounds, so that the host needn't wait for each."""
    heatmap = torch.zeros(2, 16, 16)
    heatmap[0, 4, 5], heatmap[1, 9, 3], heatmap[1, 2, 12] = 90.0, 80.0, 70.0
    early = greedy_peaks(heatmap, 20.0, 2.0, 6)
    assert early[1].sum(1).tolist() == [1, 2]
    monkeypatch.setattr(torch.Tensor, "any", lambda *_, **__: True)
    for got, expected in zip(greedy_peaks(heatmap, 20.0, 2.0, 6), early, strict=True):
        assert torch.equal(got, expected)


@pytest.mark.parametrize(("dtype", "multiplied"), [("bfloat16", torch.bfloat16), ("float32", torch.float32)])
def test_a_step_multiplies_in_the_type_of_computation_and_keeps_float32_parameters(dtype, multiplied):
    experiment = Experiment(model=MODEL, global_batch_size=3, compute_dtype=dtype)
    mirror = OccRobNet(MODEL, SIZE_PX)
    convolved = []
    conv = next(module for module in mirror.modules() if isinstance(module, torch.nn.Conv2d))
    conv.register_forward_hook(lambda module, inputs, output: convolved.append(output.dtype))
    step = networks.MirrorStep(experiment, mirror, fake_batch(MODEL, SIZE_PX, count=3), compiled=False)
    before = conv.weight.detach().clone()
    step()
    assert convolved == [multiplied]
    assert {parameter.dtype for parameter in mirror.parameters()} == {torch.float32}
    assert not torch.equal(before, conv.weight)
    assert 0 < step.metrics["loss"] < float("inf")


def test_peak_memory_on_a_gpu_is_each_sides_own(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    stats = SimpleNamespace(memory_stats=lambda: {"peak_bytes_in_use": 3 * 2**20})
    monkeypatch.setattr(jax, "devices", lambda: [stats])
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 5 * 2**20)
    assert torch_device.device_peak_mb("ours") == 3
    assert torch_device.device_peak_mb("PyTorch eager") == 5
