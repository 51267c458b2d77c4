"""Estimators for scikit-learn: `chainrule.Network` behind ``fit`` and ``predict``, trained by `chainrule.fit`.

Two of them have the parameters, attributes and stopping rules of the classes with the same names in
``sklearn.neural_network``, so a script that uses those changes one import; their Notes list the differences.
`ConvClassifier` is for images. Needs the extra ``sklearn``.
"""

try:
    from sklearn.utils.validation import validate_data as _of_scikit_learn_1_6
except ImportError as error:
    what = "chainrule.sklearn needs scikit-learn 1.6 or newer, which brings SciPy"
    raise ImportError(f"{what}: pip install 'chainrule[sklearn]' ({error})") from error

from chainrule.sklearn.classifier import MLPClassifier
from chainrule.sklearn.images import ConvClassifier
from chainrule.sklearn.regressor import MLPRegressor

del _of_scikit_learn_1_6

__all__ = ["ConvClassifier", "MLPClassifier", "MLPRegressor"]
