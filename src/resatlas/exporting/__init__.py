"""Trained networks as folders: saved for `from_pretrained` and the hub, and exported to other formats.

A saved network is config.json, model.safetensors and README.md; a fourth file, normalisation.safetensors, is added if
the normalisation of images has too many numbers for JSON. What a network finds decides its config: `config` is that of
classes, `found_config` that of objects and of classes of pixels. An exported network is the model, export.json,
predict.py and README.md.
"""
