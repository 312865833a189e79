"""antipodal: robust parallel-jaw grasps from one depth image; a modern, complete Dex-Net 2.0."""

__version__ = "0.1.0"
