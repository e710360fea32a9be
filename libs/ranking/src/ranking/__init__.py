"""One definition of recall, features and ranking: what is trained is what is served.

The pipeline trains and evaluates with it, the registry checks a bundle with it, the API answers with it. Datasets
are positions 0..n-1 in the bundle's catalogue throughout; ids appear only at the edges.
"""
