"""The artefact that crosses from training to serving: `model.onnx` and `manifest.json`, nothing else."""
