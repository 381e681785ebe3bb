"""One module for each tool: `train(task)` builds what its documentation says, and trains."""
