"""The simple models that the stack has to beat. Each takes a second to write down and seconds to train.

popularity            users per dataset
popularity_decayed    the same, decayed to the query's moment
itemknn               50 neighbours by cosine (Deshpande and Karypis 2004)
ease                  the linear item-item model with a closed form (Steck 2019); `_time`: over a history decayed by
                      time, `_rank`: decayed by rank; `_trend`: `_rank` and log decayed popularity, by one weight
slit                  the transition part of SLIST (Choi et al., WWW 2021), which knows the order; `_trend` as above
"""

from pipeline.evaluate.baselines.models import BASELINES, MAX_COLUMNS, Asked, active_columns, rank_baselines

__all__ = ["BASELINES", "MAX_COLUMNS", "Asked", "active_columns", "rank_baselines"]
