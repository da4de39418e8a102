"""Evaluates a model: python eval.py --model runs/a --dataset maestro --out report."""

from spectrodiff.commands import program

if __name__ == "__main__":
    program.script("evaluate")
