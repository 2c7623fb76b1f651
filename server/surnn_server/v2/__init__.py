"""Open Inference Protocol v2, with Triton's sequence, binary tensor and statistics extensions."""
