"""`python -m bench.ablation.server VARIANT`: the recommender with one piece of machinery replaced."""

import sys

from bench.ablation.variants import VARIANTS
from recommender_api.__main__ import main

if __name__ == "__main__":
    VARIANTS[sys.argv[1]].install()
    sys.exit(main())
