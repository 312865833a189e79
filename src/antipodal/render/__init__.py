"""From a mesh to an image: scenes, ray-traced depth, sensor noise; pictures to look at are in ``shade``."""

from .depth import Rendering as Rendering
from .depth import render as render
from .depth import render_depth as render_depth
from .noise import NoiseModel as NoiseModel
from .noise import SensorNoise as SensorNoise
from .noise import add_noise as add_noise
from .noise import observe as observe
from .scene import CameraDistribution as CameraDistribution
from .scene import FrictionDistribution as FrictionDistribution
from .scene import PoseDistribution as PoseDistribution
from .scene import Scene as Scene
from .scene import sample_cameras as sample_cameras
from .scene import sample_poses as sample_poses
from .scene import sample_scene as sample_scene
from .shade import Body as Body
from .shade import ShadeConfig as ShadeConfig
from .shade import look_from as look_from
