"""Recording a training: from parameters and gradients to loss change allocations per cell."""
