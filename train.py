"""Trains a model: python train.py --gin_file configs/tiny.gin --data_dir data --run_dir runs/a."""

from spectrodiff.commands import program

if __name__ == "__main__":
    program.script("train")
