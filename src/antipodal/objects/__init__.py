"""Objects to grasp: procedural families, and folders of meshes as sets."""

from .describe import describe as describe
from .families import FAMILIES as FAMILIES
from .families import make_object as make_object
from .families import make_objects as make_objects
from .object_set import ObjectSet as ObjectSet
from .object_set import import_meshes as import_meshes
from .object_set import load_object_set as load_object_set
from .object_set import make_object_set as make_object_set
