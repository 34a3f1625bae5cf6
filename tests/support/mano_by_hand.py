"""MANO in plain loops and homogeneous matrices, from its paper: the oracle for `occrobnet_jax.hands.mano_model`."""

import cv2
import numpy as np

NAMES = ("wrist", *(f"{f}{i}" for f in ("index", "middle", "pinky", "ring", "thumb") for i in (1, 2, 3)))


def mano_by_hand(arrays, pose, shape, translation_m):
    """Vertices and MANO's 16 joints, by name, of one hand; `arrays` as the file names them, a flat-handed pose."""
    rotations = [cv2.Rodrigues(pose[3 * joint : 3 * joint + 3])[0] for joint in range(16)]
    shaped = np.array(arrays["v_template"])
    for number in range(10):
        shaped = shaped + shape[number] * arrays["shapedirs"][:, :, number]
    rest_joints = [sum(arrays["J_regressor"][joint, v] * shaped[v] for v in range(778)) for joint in range(16)]
    bent = shaped.copy()
    for joint in range(1, 16):
        for row in range(3):
            for column in range(3):
                entry = rotations[joint][row, column] - (row == column)
                bent = bent + entry * arrays["posedirs"][:, :, 9 * (joint - 1) + 3 * row + column]
    placed = []
    for joint in range(16):
        parent = int(arrays["kintree_table"][0, joint]) if joint else None
        local = np.eye(4)
        local[:3, :3] = rotations[joint]
        local[:3, 3] = rest_joints[joint] - (0 if parent is None else rest_joints[parent])
        placed.append(local if parent is None else placed[parent] @ local)
    joints = {name: placed[joint][:3, 3] + translation_m for joint, name in enumerate(NAMES)}
    verts = np.zeros((778, 3))
    for vertex in range(778):
        for joint in range(16):
            moved = placed[joint][:3, :3] @ (bent[vertex] - rest_joints[joint]) + placed[joint][:3, 3]
            verts[vertex] += arrays["weights"][vertex, joint] * moved
    return verts + translation_m, joints
