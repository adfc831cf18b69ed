"""Route contributions, the first-order scan, and the signatures made of them."""
