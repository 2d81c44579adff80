"""What a model looks at: heatmaps, token occlusion, activations."""
