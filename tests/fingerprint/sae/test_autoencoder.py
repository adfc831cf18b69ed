from __future__ import annotations

import torch
from torch.nn import functional as F

from fingerprint.sae.autoencoder import (
    Code,
    TopKAutoencoder,
    auxiliary_loss,
    mean_max_cosine,
    normalise_rows,
    remove_radial_gradient,
    select_top,
)


def activations(n: int, width: int) -> torch.Tensor:
    return torch.randn(n, width, generator=torch.Generator().manual_seed(3))


def test_exactly_k_latents_fire_and_they_are_the_largest():
    autoencoder = TopKAutoencoder(16, 96, 5)
    x = activations(200, 16)
    pre = autoencoder.pre_activations(x)
    code = autoencoder.encode(x)
    assert code.values.shape == (200, 5)
    assert (code.values > 0).sum(1).tolist() == [5] * 200
    assert all(len(set(row)) == 5 for row in code.latents.tolist())
    rest = pre.scatter(1, code.latents, 0)
    assert (code.values.amin(1) >= rest.amax(1)).all()


def test_fewer_fire_where_fewer_are_positive():
    autoencoder = TopKAutoencoder(8, 32, 6)
    with torch.no_grad():
        autoencoder.b_enc.fill_(-100.0)
        autoencoder.b_enc[:2] = 100.0
    assert (autoencoder.encode(activations(10, 8)).values > 0).sum(1).tolist() == [2] * 10


def test_encoder_and_decoder_follow_the_equation():
    autoencoder = TopKAutoencoder(3, 4, 2)
    with torch.no_grad():
        autoencoder.W_enc.copy_(torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0, 0]]))
        autoencoder.W_dec.copy_(torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0.6, 0.8], [0, 0, 1]]))
        autoencoder.b_enc.copy_(torch.tensor([0.0, 0.5, 0.0, 0.0]))
        autoencoder.b_dec.copy_(torch.tensor([1.0, 0.0, 0.0]))
        autoencoder.scale.fill_(2.0)
    x = torch.tensor([[2.0, 1.0, 3.0]])
    # x~ = (4, 2, 6); x~ - b_dec = (3, 2, 6); pre-activations (3, 2.5, 6, 0); the two largest: 6 and 3
    assert autoencoder.pre_activations(x).tolist() == [[3.0, 2.5, 6.0, 0.0]]
    torch.testing.assert_close(autoencoder(x), torch.tensor([[(3.0 + 1) / 2, 3.6 / 2, 4.8 / 2]]))


def test_starts_with_unit_rows_and_the_encoder_as_their_transpose():
    autoencoder = TopKAutoencoder(16, 96, 5, seed=2)
    torch.testing.assert_close(autoencoder.W_dec.norm(dim=1), torch.ones(96))
    assert torch.equal(autoencoder.W_enc, autoencoder.W_dec)
    assert not torch.equal(autoencoder.W_dec, TopKAutoencoder(16, 96, 5, seed=3).W_dec)


def test_radial_gradient_is_removed_and_the_rest_is_kept():
    autoencoder = TopKAutoencoder(16, 96, 5)
    x = activations(64, 16)
    (x - autoencoder(x)).square().sum().backward()
    assert autoencoder.W_dec.grad is not None
    before = autoencoder.W_dec.grad.clone()
    remove_radial_gradient(autoencoder)
    after = autoencoder.W_dec.grad
    assert (before * autoencoder.W_dec).sum(1).abs().max() > 1e-2
    torch.testing.assert_close((after * autoencoder.W_dec).sum(1), torch.zeros(96), atol=1e-4, rtol=0)
    tangent = F.normalize(torch.randn(96, 16), dim=1)
    tangent = tangent - (tangent * autoencoder.W_dec).sum(1, keepdim=True) * autoencoder.W_dec
    torch.testing.assert_close((after * tangent).sum(1), (before * tangent).sum(1), atol=1e-4, rtol=1e-4)
    with torch.no_grad():
        autoencoder.W_dec.mul_(3.0)
    normalise_rows(autoencoder)
    torch.testing.assert_close(autoencoder.W_dec.norm(dim=1), torch.ones(96))


def test_auxiliary_loss_uses_dead_latents_alone():
    autoencoder = TopKAutoencoder(4, 8, 1)
    residual = activations(6, 4)
    dead = torch.zeros(8, dtype=torch.bool)
    dead[[2, 5, 6]] = True
    values = torch.rand(6, 8, generator=torch.Generator().manual_seed(4))
    pre = values.clone().requires_grad_()
    loss = auxiliary_loss(autoencoder, residual, pre, dead, most_latents=512)
    loss.backward()
    assert pre.grad is not None
    assert not pre.grad[:, ~dead].any()
    # two of the three at most: half the width
    assert (pre.grad[:, dead] != 0).sum(1).tolist() == [2] * 6
    # by hand: the two largest dead pre-activations times their rows
    expected = torch.zeros(6, 4)
    for row in range(6):
        for latent in sorted([2, 5, 6], key=lambda i: -float(values[row, i]))[:2]:
            expected[row] += float(values[row, latent]) * autoencoder.W_dec[latent].detach()
    by_hand = (residual - expected).square().sum() / residual.square().sum()
    torch.testing.assert_close(loss, by_hand)


def test_top_of_a_row_by_hand():
    code = select_top(torch.tensor([[0.1, 3.0, 2.0, 0.0]]), 2)
    assert dict(zip(code.latents[0].tolist(), code.values[0].tolist(), strict=True)) == {1: 3.0, 2: 2.0}
    assert isinstance(code, Code)


def test_mean_max_cosine_by_hand():
    first = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    second = torch.tensor([[5.0, 0.0], [3.0, 3.0], [-1.0, 0.0]])
    assert abs(mean_max_cosine(first, second) - (1 + 0.5**0.5) / 2) < 1e-6
    assert abs(mean_max_cosine(second, first) - (1 + 0.5**0.5 + 0) / 3) < 1e-6
    assert abs(mean_max_cosine(first, second, chunk=1) - mean_max_cosine(first, second)) < 1e-6
