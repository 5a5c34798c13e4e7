"""Random PyTorch networks, trained by our C and by PyTorch, compared step by step.

`python -m tests.random_networks --cases 3000` runs as many as there is time for; the everyday tests run a few.
"""
