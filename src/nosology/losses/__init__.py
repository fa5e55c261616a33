"""What networks are trained with: losses for labels of very unequal frequency, and the segments that some of them use.

``segmentation`` and ``facts`` need no torch; everything else does.
"""
