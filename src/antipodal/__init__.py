"""antipodal: robust parallel-jaw grasps from one depth image; a modern, complete Dex-Net 2.0.

Everything that may be relied on is named here, or is a sub-package that needs a heavier library: ``antipodal.dataset``
(pyarrow), ``antipodal.nn`` (torch) and ``antipodal.sim`` (MuJoCo).
"""

from .alignment import align_with_table as align_with_table
from .camera import CameraIntrinsics as CameraIntrinsics
from .camera import DepthImage as DepthImage
from .camera_files import Camera as Camera
from .camera_files import camera_names as camera_names
from .camera_files import load_camera as load_camera
from .camera_files import load_depth as load_depth
from .camera_files import load_mask as load_mask
from .camera_files import save_depth as save_depth
from .collision import CollisionConfig as CollisionConfig
from .collision import approach_is_free as approach_is_free
from .contact import Contact as Contact
from .contact import ContactModel as ContactModel
from .contact import find_contacts as find_contacts
from .crop import CropConfig as CropConfig
from .crop import crop_grasps as crop_grasps
from .errors import AntipodalError as AntipodalError
from .errors import CorruptDataset as CorruptDataset
from .errors import IncompatibleCheckpoint as IncompatibleCheckpoint
from .errors import InvalidConfig as InvalidConfig
from .errors import InvalidImage as InvalidImage
from .errors import InvalidMesh as InvalidMesh
from .errors import NoGraspFound as NoGraspFound
from .errors import SimulationDiverged as SimulationDiverged
from .errors import UnknownAsset as UnknownAsset
from .grasp import Grasp as Grasp
from .grasp import PlanarGrasp as PlanarGrasp
from .gripper import GripperModel as GripperModel
from .gripper import gripper_names as gripper_names
from .gripper import load_gripper as load_gripper
from .mesh import TriMesh as TriMesh
from .mesh import load_mesh as load_mesh
from .mesh import repair as repair
from .mesh import rescale as rescale
from .mesh import save_mesh as save_mesh
from .metrics import METRICS as METRICS
from .metrics import ferrari_canny as ferrari_canny
from .metrics import force_closure as force_closure
from .policy import make_policy as make_policy
from .policy.base import Plan as Plan
from .policy.base import Policy as Policy
from .policy.base import QualityFn as QualityFn
from .policy.request import Request as Request
from .quality import load_quality as load_quality
from .render.depth import render_depth as render_depth
from .render.scene import Scene as Scene
from .render.scene import sample_scene as sample_scene
from .robust import Perturbation as Perturbation
from .robust import robust_epsilon as robust_epsilon
from .sampling import SamplingConfig as SamplingConfig
from .sampling import sample_antipodal as sample_antipodal
from .stable_pose import StablePose as StablePose
from .stable_pose import stable_poses as stable_poses
from .success import success_chances as success_chances
from .waypoints import Waypoints as Waypoints
from .waypoints import waypoints as waypoints

__version__ = "0.1.0"
