"""Cells trained on a machine that has PyTorch and NumPy and nothing else: there and back.

    python -m vcbench.carry pack SUITE --budget B --device cuda -o FOLDER     here
    python FOLDER/train.py --work WORK --out OUT --minutes 9                  there, again and again
    python -m vcbench.carry unpack FOLDER OUT...                              here
    vcbench run SUITE --budget B --device cuda                                converts and scores

FOLDER holds all that training needs: the cells, their features, the source of training and of the
architectures. What comes back are logs, status, speed, and what the generators answered to the
evaluation speech (`vcbench.mapped`); weights stay there.
"""
