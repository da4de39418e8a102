"""Evaluates a model: python eval.py --model runs/a --dataset maestro --out report."""

from spectrodiff.commands import evaluate, program

if __name__ == "__main__":
    program.finish(program.run(evaluate.main))
