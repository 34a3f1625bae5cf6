"""The network in PyTorch, module by module under the same names, so that both are timed doing the same.

Only what is measured is here: the paper's network and Keypoint Transformer's small decoder, with detected keypoints.
Maps are b c h w, in memory order channels last. Never imported by the project itself.
"""
