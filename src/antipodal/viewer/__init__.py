"""A viewer in the browser (viser): meshes with their grasps, depth images with plans, data sets, benchmark trials.

Values are computed by the modules below and drawn here; nothing here computes a grasp. Every module ``*_view`` puts one
kind of input on a server and answers to clicks. Needs the ``view`` extra.
"""
