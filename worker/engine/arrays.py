"""The numpy arrays that cross the engine's border, by name."""

import numpy as np
import numpy.typing as npt

Pcm = npt.NDArray[np.float32]  # samples in [-1, 1]
Mask = npt.NDArray[np.bool_]  # [B], a flag for each slot
Tokens = npt.NDArray[np.int64]
