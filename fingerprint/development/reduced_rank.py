"""The learning coefficient of a LoRA of a linear map: reduced-rank regression (Aoyagi & Watanabe 2005)."""

from __future__ import annotations


def reduced_rank_coefficient(n_in: int, n_out: int, rank: int, true_rank: int) -> float:
    """Lambda of y = B A x with A [rank, n_in], B [n_out, rank], where the truth has rank ``true_rank``.

    Example: (8, 8, 2, 2) gives 14, the (2 * 16 - 4) / 2 parameters that a rank-2 matrix needs; with half the
    rank used, 11; unused, 7.5.
    """
    M, N, r, r0 = n_in, n_out, rank, true_rank
    if M + r < N + r0:
        return (r * M - r * r0 + N * r0) / 2
    if N + r < M + r0:
        return (r * N - r * r0 + M * r0) / 2
    if r + r0 > M + N:
        return M * N / 2
    twice = -((r + r0) ** 2) - M**2 - N**2 + 2 * (r + r0) * (M + N) + 2 * M * N
    return (twice + (M + N + r + r0) % 2) / 8
