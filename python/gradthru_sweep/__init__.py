"""The engine of `gradthru sweep`: studies over the settings of experiments.

The search and its storage are Optuna's; every trial is an ordinary `gradthru run`. Nothing here
imports Torch. What a study file may say is in docs/sweeps.md.
"""
