"""How a Kornia pipeline becomes one warp, one pointwise pass and noise made on the device."""
