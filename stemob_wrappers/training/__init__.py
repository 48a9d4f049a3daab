"""Making an embedded backbone: rendered training frames, and the training itself."""
