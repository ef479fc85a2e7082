"""The engine for any size: a matrix-free primal-dual method on the network tree."""
