"""The computational graph: recorded, differentiated, drawn and explained.

==============  ==================================================================================
`nodes`         one small class for each operator, with its rule below it
`base`          what every node takes, returns and raises
`arithmetic`    Python's numbers and NumPy's arrays under the same operators; undoing a broadcast
`variable`      `Variable` and `apply`: recording
`record`        what is recorded, and the chain rule backwards through it
`drawing`       `Graph`: SVG, DOT, Mermaid
`files`         which form a file is written in, by its ending
`layout`        where the nodes and labels of a drawing go
`maps`          images that come out of a layer, and the numbers of arrays, as small pictures
`explaining`    the chain rule line by line, with its numbers
`wording`       numbers, arrays and names as drawings and explanations write them
`networks`      a `Network` as a graph
`expression`    ``(x + y) * z`` read from text, for ``chainrule graph``
==============  ==================================================================================
"""

from chainrule.graph.arithmetic import sum_to as sum_to
from chainrule.graph.nodes import AbsLayer as AbsLayer
from chainrule.graph.nodes import AddLayer as AddLayer
from chainrule.graph.nodes import CosLayer as CosLayer
from chainrule.graph.nodes import DivLayer as DivLayer
from chainrule.graph.nodes import ExpLayer as ExpLayer
from chainrule.graph.nodes import IndexLayer as IndexLayer
from chainrule.graph.nodes import LogLayer as LogLayer
from chainrule.graph.nodes import MatMulLayer as MatMulLayer
from chainrule.graph.nodes import MaximumLayer as MaximumLayer
from chainrule.graph.nodes import MeanLayer as MeanLayer
from chainrule.graph.nodes import MinimumLayer as MinimumLayer
from chainrule.graph.nodes import MulLayer as MulLayer
from chainrule.graph.nodes import NegLayer as NegLayer
from chainrule.graph.nodes import PowLayer as PowLayer
from chainrule.graph.nodes import ReshapeLayer as ReshapeLayer
from chainrule.graph.nodes import SinLayer as SinLayer
from chainrule.graph.nodes import SqrtLayer as SqrtLayer
from chainrule.graph.nodes import SubLayer as SubLayer
from chainrule.graph.nodes import SumLayer as SumLayer
from chainrule.graph.nodes import TanhLayer as TanhLayer
from chainrule.graph.nodes import TransposeLayer as TransposeLayer
from chainrule.graph.variable import Variable as Variable
from chainrule.graph.variable import apply as apply
