"""Running the workflow: configuration, costs, locks, devices, the queue, and status."""
