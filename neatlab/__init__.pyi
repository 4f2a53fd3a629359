from neatlab import plots as plots
from neatlab.adapters.methods import METHODS as METHODS
from neatlab.adapters.neat import NeatConfig as NeatConfig
from neatlab.adapters.neat import NeatLinear as NeatLinear
from neatlab.adapters.neat import NeatModel as NeatModel
from neatlab.config import Arm as Arm
from neatlab.dashboard.replay.page import replay as replay
from neatlab.editing import Edit as Edit
from neatlab.editing import edit as edit
from neatlab.errors import BadInput as BadInput
from neatlab.errors import MissingExtra as MissingExtra
from neatlab.errors import NeatlabError as NeatlabError
from neatlab.errors import StoreError as StoreError
from neatlab.experiments.compare import compare as compare
from neatlab.experiments.data import data as data
from neatlab.experiments.rewind import rewind as rewind
from neatlab.experiments.suite import suite as suite
from neatlab.experiments.sweep import sweep as sweep
from neatlab.inspection import Inspection as Inspection
from neatlab.inspection import inspect as inspect
from neatlab.runs.comparison import Comparison as Comparison
from neatlab.runs.results import Results as Results
from neatlab.runs.results import load_runs as load_runs
from neatlab.runs.suite import SuiteResult as SuiteResult
from neatlab.tasks import TASKS as TASKS

__version__: str
