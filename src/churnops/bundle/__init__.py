"""The artefact that crosses from training to serving: `model.onnx`, `reasons.onnx` and `manifest.json`."""
