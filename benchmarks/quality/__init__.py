"""Quality of models by the number of network evaluations, for evaluations.py."""
