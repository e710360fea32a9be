"""One definition of recall, features and ranking, for training and for serving.

The pipeline trains and evaluates with it, the registry checks bundles with it, and the API answers with it. Datasets
are positions 0..n-1 in the bundle's catalogue everywhere; ids appear only at the edges.
"""
