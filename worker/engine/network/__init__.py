"""The step's computation in torch: language model, depformer, codec, sampler, memory, graphs."""
