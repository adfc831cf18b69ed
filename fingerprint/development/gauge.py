"""LoRA's gauge: (A, B) and (G A, B G^-1) are one function, but not one distance to w*. The SVD picks one."""

from __future__ import annotations

import torch
from jaxtyping import Float
from peft import PeftModel
from torch import Tensor


@torch.no_grad()
def canonical_lora(
    A: Float[Tensor, "r d_in"], B: Float[Tensor, "d_out r"]
) -> tuple[Float[Tensor, "r d_in"], Float[Tensor, "d_out r"]]:
    """The balanced factors of B A = U S V^T: A = S^1/2 V^T, B = U S^1/2; largest entry of each row of A > 0.

    The triple product is taken in the factors' small space, in double precision.
    """
    q_out, r_out = torch.linalg.qr(B.double())
    q_in, r_in = torch.linalg.qr(A.double().T)
    U, S, Vh = torch.linalg.svd(r_out @ r_in.T)
    rank = A.shape[0]
    rows, columns = Vh @ q_in.T, q_out @ U
    sign = rows.gather(1, rows.abs().argmax(1, keepdim=True)).sign()
    sign = torch.where(sign == 0, torch.ones_like(sign), sign)
    root = S.sqrt()
    new_a, new_b = A.new_zeros(A.shape), B.new_zeros(B.shape)
    n = len(root)  # fewer than the rank where a side is shorter
    new_a[:n] = (root[:, None] * sign * rows).to(A)
    new_b[:, :n] = (columns * root * sign[:, 0]).to(B)
    assert n <= rank
    return new_a, new_b


@torch.no_grad()
def canonicalise_lora(model: PeftModel) -> None:
    """Put every module's A and B of a peft LoRA into the canonical gauge, in place; the function stays.

    Not for routed models, whose A is frozen: they have no gauge.
    """
    parameters = dict(model.named_parameters())
    for name, A in parameters.items():
        if ".lora_A." in name:
            B = parameters[name.replace(".lora_A.", ".lora_B.")]
            new_a, new_b = canonical_lora(A, B)
            A.copy_(new_a)
            B.copy_(new_b)
