import pytest
import torch
from bitexpert.models.gate import ExpertGate, integer_experts, spatial_mean, winner_take_all


def test_forward_is_exactly_one_hot():
    z = torch.randn(500, 4) * 50
    choice = winner_take_all(z)
    assert torch.equal(choice, torch.nn.functional.one_hot(z.argmax(1), 4).float())


def test_backward_is_the_softmax_jacobian():
    z = torch.randn(6, 5, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(6, 5, dtype=torch.float64)
    winner_take_all(z).backward(upstream)
    p = torch.softmax(z.detach(), 1)
    jacobian = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    assert torch.allclose(z.grad, (jacobian @ upstream[:, :, None])[:, :, 0], atol=1e-12)
    assert z.grad.abs().max() > 1e-3


@pytest.mark.parametrize("z", [[[1.0, 3.0, 3.0, 0.0]], [[0.0, 3.0, 1.0, 3.0]]])
def test_lowest_index_wins_a_tie(z):
    assert winner_take_all(torch.tensor(z)).tolist() == [[0.0, 1.0, 0.0, 0.0]]


def test_lowest_index_wins_an_integer_tie():
    g = torch.ones(3, 2, 2, 2)
    assert integer_experts(g, torch.zeros(4, 2), torch.zeros(4)).tolist() == [0, 0, 0]
    assert integer_experts(g, torch.zeros(4, 2), torch.tensor([0.0, 5.0, 5.0, 1.0])).tolist() == [1, 1, 1]


@pytest.mark.parametrize("whiten", [False, True])
def test_a_gate_that_has_learned_keeps_its_weights_and_chooses_as_before(whiten):
    torch.manual_seed(0)
    gate, means = ExpertGate(4, 8, whiten=whiten), torch.randn(64, 8, requires_grad=True)
    before = gate.logits(means)
    gate.learns = False
    after = gate.logits(means)
    assert torch.equal(before, after)
    after.square().sum().backward()
    assert all(p.grad is None for p in gate.parameters())
    assert means.grad.abs().max() > 0 or whiten  # whitened squares have a fixed sum
    gate.learns = True
    (gate.logits(means) ** 3).sum().backward()
    assert all(p.grad is not None for p in gate.parameters())


def test_frozen_sign_gate_agrees_with_the_real_one():
    torch.manual_seed(0)
    gate = ExpertGate(4, 32, source="sign", bits=12)
    x = torch.where(torch.rand(400, 32, 4, 4) < torch.rand(400, 32, 1, 1), -1.0, 1.0)
    real = gate.logits(spatial_mean(x)).argmax(1)
    gate.freeze(16)
    # Rounding to 12 bits can only turn near ties.
    assert (gate.index(x) == real).float().mean() > 0.985
    assert torch.unique(real).numel() > 1
    assert gate.weight_int.abs().max() == 2**11 - 1
    assert torch.equal(gate.weight_int, gate.weight_int.round())


def test_frozen_pre_sign_gate_folds_batch_norm_and_copies():
    torch.manual_seed(1)
    m, repeat = 8, 4
    gate = ExpertGate(3, m * repeat, source="pre_sign", repeat=repeat, bits=12)
    acc = torch.randint(-40, 41, (500, m, 4, 4)).float() + torch.randint(-20, 21, (500, m, 1, 1))
    scale, offset = torch.randn(m * repeat), torch.randn(m * repeat)
    tiled = acc.repeat(1, repeat, 1, 1)
    real = gate.logits(spatial_mean(tiled * scale[None, :, None, None] + offset[None, :, None, None])).argmax(1)
    gate.freeze(16, scale=scale, offset=offset, largest=60)
    assert gate.weight_int.shape == (3, m)
    assert (gate.index(acc) == real).float().mean() > 0.985
    assert torch.unique(real).numel() == 3


def test_frozen_integers_are_summed_without_rounding():
    gate = ExpertGate(2, 1, source="sign")
    gate.weight_int.copy_(torch.tensor([[127.0], [126.0]]))
    gate.bias_int.copy_(torch.tensor([0.0, 16_000_001.0]))
    gate.frozen_flag.fill_(True)
    # 127*S and 126*S + 16000001 differ by one at S = 16000000 and 16000002: float32 can't tell.
    x = torch.full((3, 1, 1, 1), 16_000_000.0)
    x[1], x[2] = 16_000_001.0, 16_000_002.0
    assert gate.index(x).tolist() == [1, 0, 0]


def test_a_bias_beyond_24_bits_is_an_integer_that_float32_holds():
    torch.manual_seed(0)
    gate = ExpertGate(4, 8, source="pre_sign")
    # small differences between images beside a large mean, as in the layer that sees pixels
    acc = (torch.randint(-500, 500, (400, 8, 32, 32)) + 900 * torch.randn(400, 8, 1, 1)).round() + 20000
    scale, offset = torch.full((8,), 1e-3), torch.linspace(-20.0, -19.0, 8)
    gate.normalize(spatial_mean(acc * scale[:, None, None] + offset[:, None, None]))
    gate.freeze(1024, scale=scale, offset=offset, mean=acc.mean((0, 2, 3)), largest=30000)
    real = gate.logits(spatial_mean(acc * scale[:, None, None] + offset[:, None, None])).argmax(1)
    assert gate.bias_int.abs().max() > 2**24
    assert torch.equal(gate.bias_int, gate.bias_int.double().round().float())
    assert (gate.index(acc) == real).float().mean() > 0.98
    assert torch.unique(real).numel() == 4


def test_a_gate_that_would_not_stay_exact_is_refused():
    gate = ExpertGate(2, 4, source="sign", bits=16)
    with torch.no_grad():
        gate.linear.weight.mul_(1e-9)
        gate.linear.bias.copy_(torch.tensor([0.0, 100000.0]))
    with pytest.raises(ValueError, match="lower its bits, now 16"):
        gate.freeze(64)
    assert not gate.frozen


def test_a_diverged_gate_is_refused():
    gate = ExpertGate(2, 4, source="sign")
    with torch.no_grad():
        gate.linear.weight[0, 0] = float("nan")
    with pytest.raises(ValueError, match="diverged"):
        gate.freeze(64)


def test_a_gate_without_weights_follows_its_bias():
    gate = ExpertGate(3, 4, source="sign")
    with torch.no_grad():
        gate.linear.weight.zero_()
        gate.linear.bias.copy_(torch.tensor([0.1, 0.3, 0.2]))
    gate.freeze(16)
    assert gate.index(torch.ones(2, 4, 4, 4)).tolist() == [1, 1]


def test_normalize_balances_the_choice():
    torch.manual_seed(2)
    gate = ExpertGate(4, 16, source="sign")
    with torch.no_grad():
        gate.linear.bias.copy_(torch.tensor([50.0, 0.0, 0.0, 0.0]))
    means = torch.randn(1000, 16)
    assert gate.linear(means).argmax(1).unique().tolist() == [0]
    gate.normalize(means)
    share = torch.bincount(gate.linear(means).argmax(1), minlength=4) / 1000
    assert share.min() > 0.1


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"source": "bits"}, "gate source 'bits'"),
        ({"repeat": 3}, "repeat=3"),
        ({"bits": 1}, "bits=1"),
    ],
)
def test_wrong_settings(kwargs, words):
    with pytest.raises(ValueError, match=words):
        ExpertGate(4, 16, **kwargs)


def test_frozen_and_unfrozen_use_is_guarded():
    gate = ExpertGate(2, 4, source="sign")
    x = torch.ones(1, 4, 2, 2)
    with pytest.raises(RuntimeError, match="isn't frozen"):
        gate.index(x)
    gate.freeze(4)
    with pytest.raises(RuntimeError, match="frozen"):
        gate(spatial_mean(x))
    with pytest.raises(ValueError, match="needs scale and offset"):
        ExpertGate(2, 4, source="pre_sign").freeze(4)


def test_a_bias_that_is_evened_out_shares_the_samples():
    torch.manual_seed(0)
    gate = ExpertGate(4, 8, source="sign")
    with torch.no_grad():
        gate.linear.bias.copy_(torch.tensor([5.0, 0.0, 0.0, -5.0]))
    means = torch.randn(400, 8)

    def shares():
        return torch.nn.functional.one_hot(gate.logits(means).argmax(1), 4).float().mean(0)

    assert shares().max() == 1
    weight = gate.linear.weight.clone()
    for _ in range(500):
        gate.even_out(shares(), 0.02)
    assert shares().sub(0.25).abs().max() < 0.03
    assert torch.equal(gate.linear.weight, weight)


def standard(experts=4, channels=6, seed=0):
    torch.manual_seed(seed)
    gate = ExpertGate(experts, channels, whiten=True)
    # logits that are almost equal but for what all of them share
    with torch.no_grad():
        gate.linear.weight.mul_(0.01).add_(torch.randn(channels))
    return gate, torch.randn(1000, channels) * 3 + 5


def test_whitened_logits_differ_however_much_they_share():
    gate, means = standard()
    plain = means @ gate.linear.weight.t()
    top = plain.topk(2).values
    assert (top[:, 0] - top[:, 1]).median() < 0.02 * plain.std()
    z = gate.logits(means)
    assert torch.allclose(z.mean(0), torch.zeros(4), atol=1e-4)
    assert torch.allclose(z.t().cov(), torch.eye(4) - 0.25, atol=1e-2)
    top = z.topk(2).values
    assert (top[:, 0] - top[:, 1]).median() > 0.3
    assert torch.equal(gate(means).argmax(1), z.argmax(1))


def test_whitened_logits_take_no_note_of_what_all_share():
    gate, means = standard()
    z = gate.logits(means)
    with torch.no_grad():
        gate.linear.weight.add_(torch.randn(6))
    assert torch.allclose(gate.logits(means), z, atol=2e-2)


def test_a_whitened_gate_evaluates_as_it_trained():
    gate, means = standard()
    for _ in range(200):
        trained = gate.logits(means)
    gate.eval()
    assert torch.allclose(gate.logits(means), trained, atol=1e-2)
    one = gate.logits(means[:1])
    assert torch.allclose(gate.train().logits(means[:1]), one)  # one sample has no deviation


def test_normalizing_a_whitened_gate_sets_its_statistics():
    gate, means = standard()
    gate.normalize(means)
    z = gate.eval().logits(means)
    assert torch.allclose(z.mean(0), torch.zeros(4), atol=1e-3)
    assert torch.allclose(z.t().cov(), torch.eye(4) - 0.25, atol=1e-2)


def test_a_whitened_gate_is_evened_out():
    gate, means = standard()
    before = gate.logits(means)
    gate.even_out(torch.tensor([0.5, 0.5, 0.0, 0.0]), 0.1)
    assert torch.allclose(gate.logits(means) - before, torch.tensor([-0.1, -0.1, 0.1, 0.1]), atol=1e-5)


def test_a_frozen_whitened_gate_chooses_as_before():
    gate, _ = standard()
    acc = torch.randint(-40, 41, (500, 6, 4, 4), generator=torch.Generator().manual_seed(2)).float()
    acc += torch.randint(-20, 21, (500, 6, 1, 1), generator=torch.Generator().manual_seed(3))
    scale, offset = torch.rand(6) + 0.5, torch.randn(6)
    means = spatial_mean(acc * scale[:, None, None] + offset[:, None, None])
    for _ in range(200):
        gate.logits(means)
    gate.even_out(torch.tensor([0.7, 0.1, 0.1, 0.1]), 0.2)
    chosen = gate.eval().logits(means).argmax(1)
    gate.freeze(16, scale=scale, offset=offset, largest=60)
    assert (gate.index(acc) == chosen).float().mean() > 0.97
    assert len(chosen.unique()) == 4


def test_whitened_gates_train_all_their_parameters():
    gate, means = standard()
    (gate(means) * torch.randn(1000, 4)).sum().backward()
    assert [name for name, p in gate.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []
