"""What torch computes in a step: language model, depformer, codec, sampler, memory, graphs."""
