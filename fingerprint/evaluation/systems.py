"""What systems are called in every table: one place, so that rows of two tables are known to be the same."""

from __future__ import annotations

B1 = "n-grams (B1)"
B2 = "layout rates (B2)"
B3 = "author trigrams (B3)"
B4 = "compression (B4)"
B6 = "stack of B1-B4 (B6)"
B8 = "hidden states of the base (B8)"
B9 = "gradient alignment at the base (B9)"
B10 = "language model as judge (B10)"
TEXT_SYSTEMS = (B1, B2, B3, B4)

ALM = "per-author perplexity (B7, ALM)"
BY_CELL = "perplexity by kind of token"
SCAN = "routes, scan summed"
SCAN_UNBIASED = "routes, scan summed, past mean removed"
SITES = "routes, shared site weights"
LOGISTIC = "routes, sites x authors logistic"
TEXT_LOGISTIC = "B1-B4, systems x authors logistic"
"""The control of LOGISTIC: the same newer labels, the same author-wise weights, and text alone."""
FISHER = "routes at the base, Fisher kernel"
FUSED = "B6 + routes, stacked"
FUSED_LOGISTIC = "B6 + routes logistic, stacked"
FUSED_FISHER = "B6 + Fisher kernel, stacked"
EVERYTHING = "B6 + perplexity by kind + B8 + routes, stacked"
REFITTED = ", refitted"
"""Behind a name: read up to the cut instead of the train slice alone."""

PERPLEXITY = "perplexity of the base (control)"
SIZE = "fewer tokens (control)"
"""What size alone tells: where strangers write smaller texts, whatever grows with smallness finds them."""
