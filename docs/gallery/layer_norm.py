"""Layer normalization: each row to mean 0 and deviation 1, without parameters."""

import numpy as np


class LayerNorm:
    def forward(self, x):
        self.std = np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
        self.z = (x - x.mean(axis=1, keepdims=True)) / self.std
        return self.z

    def backward(self, dout):
        mean = dout.mean(axis=1, keepdims=True)
        dz = dout - mean
        along = self.z * (dout * self.z).mean(axis=1, keepdims=True)
        return (dz - mean - along) / self.std


CHECKS = {"LayerNorm": lambda rng: (LayerNorm(), rng.standard_normal((5, 4)))}

# ---- The mistake. Look here when you have mended it. ----
#
# What is wrong: the mean of dout is taken off twice.
# In the report: all of x is wrong, and no cause is named: in each row it is off by another number.
# Met in: a kernel for an accelerator, where a register was not emptied; its test allowed errors of 0.5:
#     https://github.com/tenstorrent/tt-metal/pull/53215
# Mended:
# -         return (dz - mean - along) / self.std
# +         return (dz - along) / self.std
