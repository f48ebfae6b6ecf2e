"""What estimators can learn: OMIB and the methods it is compared with, a file for each."""

from ._method import Method
from .bigated import BiGated
from .concat import Concat
from .deep_ib import DeepIB
from .dmib import DMIB
from .mib import CMIB, EMIB, LMIB
from .misa import MISA
from .mmib_cui import MMIBCui
from .mmib_zhang import MMIBZhang
from .omib import OMIB

__all__ = [
    "CMIB",
    "DMIB",
    "EMIB",
    "LMIB",
    "MISA",
    "OMIB",
    "BiGated",
    "Concat",
    "DeepIB",
    "MMIBCui",
    "MMIBZhang",
    "Method",
]
