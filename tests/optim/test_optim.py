"""Muon against torch's and a written-out reference, AdamW against torch's, schedules against hand-worked values."""

import math

import pytest
import torch

from minimind.optim.groups import Optimizer
from minimind.optim.muon import COEFFICIENTS, Muon, orthogonalise
from minimind.optim.schedule import factor


def plain_muon_step(weight, gradient, momentum, lr, mu, decay):
    """One matrix, every line as in the formulas of optim/muon.py."""
    a, b, c = COEFFICIENTS
    momentum = mu * momentum + gradient
    x = gradient + mu * momentum
    transposed = x.shape[0] > x.shape[1]
    x = x.T if transposed else x
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    x = x.T if transposed else x
    weight = weight * (1 - lr * decay) - lr * max(1, weight.shape[0] / weight.shape[1]) ** 0.5 * x
    return weight, momentum


def test_muon_equals_the_plain_formula():
    torch.manual_seed(0)
    shapes = [(8, 16), (8, 16), (24, 8), (6, 6)]
    parameters = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
    expected = [p.detach().clone() for p in parameters]
    momenta = [torch.zeros(shape) for shape in shapes]
    optimizer = Muon(parameters, lr=0.02, momentum=0.95, weight_decay=0.1)
    for _ in range(20):
        for index, parameter in enumerate(parameters):
            parameter.grad = torch.randn(shapes[index])
            expected[index], momenta[index] = plain_muon_step(
                expected[index], parameter.grad, momenta[index], 0.02, 0.95, 0.1
            )
        optimizer.step()
    for parameter, reference in zip(parameters, expected, strict=True):
        torch.testing.assert_close(parameter.detach(), reference, rtol=1e-4, atol=1e-5)


def test_orthogonalise_brings_all_singular_values_near_one():
    torch.manual_seed(1)
    values = torch.linalg.svdvals(orthogonalise(torch.randn(3, 32, 64)))
    assert values.min() > 0.6 and values.max() < 1.3


def test_muon_refuses_what_is_no_matrix():
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        Muon([torch.nn.Parameter(torch.zeros(3))])


def test_adamw_equals_torch_over_a_thousand_steps():
    torch.manual_seed(2)
    model = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Linear(5, 3, bias=False))
    twin = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Linear(5, 3, bias=False))
    twin.load_state_dict(model.state_dict())
    ours = Optimizer(model, learning_rate=1e-3, weight_decay=0.05)
    decayed = [p for p in twin.parameters() if p.ndim == 2]
    others = [p for p in twin.parameters() if p.ndim == 1]
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}]
    theirs = torch.optim.AdamW(groups, lr=1e-3)
    for step in range(1000):
        x = torch.randn(4, 6)
        ours.scale(1 - step / 1000)
        for group in theirs.param_groups:
            group["lr"] = 1e-3 * (1 - step / 1000)
        model(x).square().sum().backward()
        twin(x).square().sum().backward()
        ours.step()
        theirs.step()
        ours.zero_grad()
        theirs.zero_grad()
    for parameter, reference in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(parameter, reference, rtol=1e-5, atol=1e-6)


def test_which_parameters_muon_moves():
    model = torch.nn.ModuleDict(
        {"embed_tokens": torch.nn.Embedding(5, 4), "q_proj": torch.nn.Linear(4, 4), "lm_head": torch.nn.Linear(4, 5)}
    )
    optimizer = Optimizer(model, rule="muon")
    moved = [id(p) for group in optimizer.parts[1].param_groups for p in group["params"]]
    assert moved == [id(model["q_proj"].weight)]
    assert sum(len(group["params"]) for part in optimizer.parts for group in part.param_groups) == 5


def test_schedules_at_hand_worked_points():
    """cosine: 0.1 + 0.45 (1 + cos(pi t)); wsd with 30 %: flat to 70 %, then (total - step) / decay_steps."""
    assert factor("cosine", 0, 100) == 1.0
    assert factor("cosine", 50, 100) == pytest.approx(0.55)
    assert factor("cosine", 100, 100) == pytest.approx(0.1)
    assert factor("cosine", 25, 100) == pytest.approx(0.1 + 0.45 * (1 + math.sqrt(0.5)))
    assert [factor("wsd", step, 10, decay_share=0.3) for step in (0, 6, 7, 8, 9)] == pytest.approx(
        [1, 1, 1, 2 / 3, 1 / 3]
    )
    assert [factor("constant", step, 10, warmup_steps=3) for step in range(4)] == pytest.approx([0.25, 0.5, 0.75, 1])


def test_nothing_to_train_is_an_error():
    model = torch.nn.Linear(2, 2).requires_grad_(False)
    with pytest.raises(ValueError, match="frozen"):
        Optimizer(model)
