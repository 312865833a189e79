"""From a mesh to an image: scenes, ray-traced depth, sensor noise; pictures to look at are in ``shade``."""
