"""Weights of other projects: PyTorch files, torchvision's ResNet-50, Keypoint Transformer."""
